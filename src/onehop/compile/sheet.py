"""The spreadsheet: cells that remember what they read, so that a change recomputes only them.

A *table* maps keys to values. The values of an *input* table are put there from outside. The
values of a *derived* table are its cells: each the result of one pure function of one key, which
reads other tables through a `Reader`. The Reader writes down everything it was asked for, what was
absent and what was searched for included. When a value changes, exactly the cells that asked
for it are dirty; a cell that comes out as before makes nobody else dirty (early cutoff).

Which cells a derived table has follows from its *domain*: indexes over earlier tables, whose index
keys are the cell keys. A pool exists because a route asks for it, and goes with the last one. Where
every row depends on all the others (who gets which address?), a *whole* table computes them at
once; who reads one of its rows is still spared the changes of the others.

Tables are ordered, and a cell reads earlier tables only, so one pass in that order settles
everything: there are no cycles to detect and no fixpoint to wait for. From scratch is the same
code with every cell dirty; `tests/compile/test_incremental.py` holds the two against each other.

The theory: Acar, "Self-Adjusting Computation" (2005); Mokhov, Mitchell, Peyton Jones, "Build
Systems à la Carte" (2018), where this is a self-tracking build system with a topological scheduler.
"""

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from onehop.compile.multimap import Multimap
from onehop.model.problem import Problem

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
I = TypeVar("I", bound=Hashable)  # noqa: E741  K, V, I: key, value, index key


class Index(Generic[K, V, I]):
    """Finds the rows of a table by something other than their key.

    `keys_of` is called once for each new value, so it must be pure and cheap.
    """

    def __init__(
        self, table: "Table[K, V]", name: str, keys_of: Callable[[K, V], Iterable[I]]
    ) -> None:
        self.table = table
        self.name = f"{table.name}.{name}"
        self.keys_of = keys_of
        table.indexes.append(self)


class Table(Generic[K, V]):
    """A named map that cells can read; this one is filled from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.indexes: list[Index[K, V, Any]] = []


class Demanded(Table[K, V]):
    """An input that is filled on request: the sheet tells which of its keys cells have asked for.

    For inputs of which there could be far more than anybody reads, and that somebody has to go and
    get.
    """


class Cell(msgspec.Struct, Generic[V], frozen=True, gc=False):
    """What computing one cell gave: a value, or None for "nothing to serve here", and faults."""

    value: V | None
    problems: tuple[Problem, ...] = ()


class Derived(Table[K, V]):
    """A table whose values are computed, one cell for each index key of its domain."""

    def __init__(
        self,
        name: str,
        compute: "Callable[[Reader, K], Cell[V]]",
        domain: tuple[Index[Any, Any, K], ...],
    ) -> None:
        super().__init__(name)
        self.compute = compute
        self.domain = domain


class Whole(Table[K, V]):
    """A table all of whose rows come from one computation."""

    def __init__(self, name: str, compute: "Callable[[Reader], Mapping[K, Cell[V]]]") -> None:
        super().__init__(name)
        self.compute = compute


_NOTHING: Final = Cell[Any](None)
_NO_ENTRIES: Final[frozenset[Any]] = frozenset()
_ALL_ROWS: Final = ()

# What can be read: ("services", key) is one row, ("services.by-x", index key) a search.
_Place = tuple[str, Hashable]
_CellName = tuple[str, Hashable]


class Reader:
    """A cell's only window on other tables; it notes every question."""

    __slots__ = ("_sheet", "_visible", "asked")

    def __init__(self, sheet: "Sheet", visible: frozenset[str]) -> None:
        self._sheet = sheet
        self._visible = visible
        self.asked: dict[_Place, None] = {}

    def get(self, table: Table[K, V], key: K) -> V | None:
        """Return one value, or None; both are remembered."""
        _check_visible(table, self._visible)
        self.asked[table.name, key] = None
        return self._sheet.value(table, key)

    def need(self, table: Table[K, V], key: K) -> V:
        """Return a value that must be there, because the cell's domain lies over it."""
        value = self.get(table, key)
        if value is None:
            raise LookupError(f"no {key!r} in {table.name!r}, over which the domain should lie")
        return value

    def where(self, index: Index[K, V, I], key: I) -> tuple[V, ...]:
        """Return the values found under an index key, ordered by their own keys."""
        return tuple(value for _, value in sorted(self._search(index, key), key=_by_key))

    def unordered(self, index: Index[K, V, I], key: I) -> tuple[V, ...]:
        """Return the same in no particular order: for who sorts them anyway."""
        return tuple(value for _, value in self._search(index, key))

    def count(self, index: Index[K, V, I], key: I) -> int:
        """Return how many values there are under an index key, without a look at any."""
        _check_visible(index.table, self._visible)
        self.asked[index.name, key] = None
        return self._sheet.count(index, key)

    def any(self, index: Index[K, V, I], key: I) -> V | None:
        """Return one of the values under an index key: for where they all say the same."""
        return next((value for _, value in self._search(index, key)), None)

    def _search(self, index: Index[K, V, I], key: I) -> Iterator[tuple[K, V]]:
        _check_visible(index.table, self._visible)
        self.asked[index.name, key] = None
        return self._sheet.found(index, key)


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What a pass over the sheet changed.

    Attributes:
        changed: per derived table, the keys whose value is new, different or gone.
        problems: the cells whose problems are different now.
        demands: names of `Demanded` tables of which other keys are asked for than before.
    """

    changed: Mapping[str, frozenset[Hashable]]
    problems: frozenset[_CellName]
    demands: frozenset[str] = frozenset()

    def of(self, table: Table[K, V]) -> frozenset[K]:
        """Return the changed keys of one table."""
        return self.changed.get(table.name, frozenset())  # type: ignore[return-value]  # by name


class Sheet:
    """Tables, in the order in which they may read each other, and their present values."""

    def __init__(self, tables: Iterable[Table[Any, Any]]) -> None:
        self._tables = tuple(tables)
        self._computed = tuple(t for t in self._tables if isinstance(t, Derived | Whole))
        self._values: dict[str, dict[Hashable, Any]] = {t.name: {} for t in self._tables}
        self._found: dict[str, Multimap[Hashable, Hashable]] = {
            index.name: Multimap() for table in self._tables for index in table.indexes
        }
        self._readers = Multimap[_Place, _CellName]()
        self._asked: dict[_CellName, tuple[_Place, ...]] = {}
        self._dirty: dict[str, dict[Hashable, None]] = {t.name: {} for t in self._tables}
        self._problems: dict[_CellName, tuple[Problem, ...]] = {}
        self._demand: dict[str, dict[Hashable, None]] = {
            table.name: {} for table in self._tables if isinstance(table, Demanded)
        }
        self._demands: set[str] = set()  # that changed since the last `settle` ended
        self._rows: dict[str, tuple[Hashable, ...]] = {}  # of whole tables, as computed last
        self._fed_by: dict[str, list[Derived[Any, Any]]] = {}
        self._visible: dict[str, frozenset[str]] = {}
        earlier: set[str] = set()
        for table in self._tables:
            self._visible[table.name] = frozenset(earlier)
            if isinstance(table, Whole):
                self._dirty[table.name][_ALL_ROWS] = None
            if isinstance(table, Derived):
                for index in table.domain:
                    _check_visible(index.table, earlier)
                    self._fed_by.setdefault(index.name, []).append(table)
            earlier.add(table.name)

    def value(self, table: Table[K, V], key: K) -> V | None:
        """Return a present value; outside of cells, for whoever takes the results away."""
        return self._values[table.name].get(key)

    def values(self, table: Table[K, V]) -> Mapping[K, V]:
        """Return all present values of a table; not to be held on to across a `settle`."""
        return self._values[table.name]  # type: ignore[return-value]  # keyed by table name

    def found(self, index: Index[K, V, I], key: I) -> Iterator[tuple[K, V]]:
        """Yield the rows under an index key, in no particular order."""
        values = self._values[index.table.name]
        for row in self._found[index.name].of(key):
            yield row, values[row]  # type: ignore[misc]  # keyed by table name

    def count(self, index: Index[Any, Any, I], key: I) -> int:
        """Return how many rows there are under an index key."""
        return len(self._found[index.name].of(key))

    def entries(self, index: Index[Any, Any, I]) -> Iterable[I]:
        """Return the present keys of an index; not to be held on to across a `put`."""
        return self._found[index.name]  # type: ignore[return-value]  # keyed by index name

    def demand(self, table: Demanded[K, Any]) -> Iterable[K]:
        """Return the keys that cells ask for; not to be held on to across a `settle`."""
        return self._demand[table.name]  # type: ignore[return-value]  # keyed by table name

    def problems(self) -> Iterator[Problem]:
        """Yield every present problem, in no particular order."""
        for problems in self._problems.values():
            yield from problems

    def problems_of(self, cell: _CellName) -> tuple[Problem, ...]:
        """Return the present problems of one cell."""
        return self._problems.get(cell, ())

    def put(self, table: Table[K, V], key: K, value: V | None) -> None:
        """Set or remove (None) a value of an input table; equal values change nothing."""
        if self._values[table.name].get(key) != value:
            self._store(table, key, value)

    def has_dirty(self) -> bool:
        """Tell whether `settle` has anything to do."""
        return any(self._dirty.values())

    def settle(self, only: frozenset[str] | None = None) -> Settled:
        """Recompute what is dirty.

        Args:
            only: names of the derived tables to settle now; cells of the others stay dirty.
        """
        changed: dict[str, frozenset[Hashable]] = {}
        problems: set[_CellName] = set()
        for table in self._computed:
            dirty = self._dirty[table.name]
            if not dirty or (only is not None and table.name not in only):
                continue
            self._dirty[table.name] = {}
            moved = frozenset(
                key
                for key, cell in self._recompute(table, dirty)
                if self._take(table, key, cell, problems)
            )
            if moved:
                changed[table.name] = moved
        demands, self._demands = frozenset(self._demands), set()
        return Settled(changed, frozenset(problems), demands)

    def _recompute(
        self, table: Derived[Any, Any] | Whole[Any, Any], dirty: Iterable[Hashable]
    ) -> Iterator[tuple[Hashable, Cell[Any]]]:
        visible = self._visible[table.name]
        if isinstance(table, Whole):
            reader = Reader(self, visible)
            cells = table.compute(reader)
            self._subscribe((table.name, _ALL_ROWS), tuple(reader.asked))
            before, self._rows[table.name] = self._rows.get(table.name, ()), tuple(cells)
            yield from cells.items()
            yield from ((key, _NOTHING) for key in before if key not in cells)
            return
        for key in dirty:
            cell: Cell[Any] = _NOTHING
            asked: tuple[_Place, ...] = ()
            if self._has_cell(table, key):
                reader = Reader(self, visible)
                cell = table.compute(reader, key)
                asked = tuple(reader.asked)
            self._subscribe((table.name, key), asked)
            yield key, cell

    def _take(
        self,
        table: Table[Any, Any],
        key: Hashable,
        cell: Cell[Any],
        problems: set[_CellName],
    ) -> bool:
        """Take over what computing a cell gave; tell whether its value is another one now."""
        name = (table.name, key)
        if self._problems.get(name, ()) != cell.problems:
            problems.add(name)
            if cell.problems:
                self._problems[name] = cell.problems
            else:
                del self._problems[name]
        if self._values[table.name].get(key) == cell.value:
            return False
        self._store(table, key, cell.value)
        return True

    def _subscribe(self, cell: _CellName, asked: tuple[_Place, ...]) -> None:
        before = self._asked.get(cell, ())
        if before == asked:
            return
        for place in asked:
            if self._readers.add(place, cell) and place[0] in self._demand:
                self._demand[place[0]][place[1]] = None
                self._demands.add(place[0])
        asks = set(asked)
        for place in before:
            if place in asks or not self._readers.remove(place, cell):
                continue
            if place[0] in self._demand:
                del self._demand[place[0]][place[1]]
                self._demands.add(place[0])
        if asked:
            self._asked[cell] = asked
        else:
            self._asked.pop(cell, None)

    def _store(self, table: Table[Any, Any], key: Hashable, value: Any) -> None:
        values = self._values[table.name]
        old = values.get(key)
        if value is None:
            del values[key]
        else:
            values[key] = value
        self._taint((table.name, key))
        for index in table.indexes:
            self._reindex(index, key, old, value)

    def _reindex(self, index: Index[Any, Any, Any], key: Hashable, old: Any, new: Any) -> None:
        found = self._found[index.name]
        before = set(index.keys_of(key, old)) if old is not None else _NO_ENTRIES
        after = set(index.keys_of(key, new)) if new is not None else _NO_ENTRIES
        for entry in before:
            if entry not in after and found.remove(entry, key):
                self._dirty_domain(index, entry)
            self._taint((index.name, entry))
        for entry in after:
            if entry in before:
                continue  # tainted above
            if found.add(entry, key):
                self._dirty_domain(index, entry)
            self._taint((index.name, entry))

    def _dirty_domain(self, index: Index[Any, Any, Any], entry: Hashable) -> None:
        for table in self._fed_by.get(index.name, ()):
            # A cell that another index of the domain asks for as well neither comes nor goes.
            if not self._has_cell(table, entry, besides=index):
                self._dirty[table.name][entry] = None

    def _has_cell(
        self, table: Derived[Any, Any], key: Hashable, besides: Index[Any, Any, Any] | None = None
    ) -> bool:
        for index in table.domain:
            if key in self._found[index.name] and index is not besides:
                return True
        return False

    def _taint(self, place: _Place) -> None:
        for table, key in self._readers.of(place):
            self._dirty[table][key] = None


def _check_visible(table: Table[Any, Any], visible: Container[str]) -> None:
    if table.name not in visible:
        raise LookupError(f"a cell may read earlier tables only, not {table.name!r}")


def _by_key(row: tuple[Any, Any]) -> Any:
    return row[0]

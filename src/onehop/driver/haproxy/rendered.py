"""What HAProxy reads, as tables; and which of their entries have changed.

Everything that a row comes to is a small `Rendered` of its own, a piece, and all pieces together
are the whole. No two pieces have an entry in common, so one is replaced without a look at the
others, and what is to be told to a worker is found among the entries of pieces that have changed.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from onehop.driver.haproxy.backend import Server
from onehop.driver.haproxy.tls import Line


class Rendered(NamedTuple):
    """All that HAProxy reads, or a piece of it.

    Attributes:
        sections: the lines by the first one; but for `global`, which changes with each start.
        rules: lines of frontends, by where they stand in them and a name, in the order of names.
        files: PEM by path; most hold private keys.
        staples: what CAs say of certificates, in DER, by the path of the certificate.
        identities: PEM of certificates that endpoints are shown, with their keys, by path.
        servers: the servers by name, by backend.
        maps: value by key, by the path of the map.
        lists: the lines of lists of certificates, by the certificate's file, by path.
    """

    sections: dict[str, tuple[str, ...]]
    rules: dict[tuple[str, str], tuple[str, ...]]
    files: dict[str, str]
    staples: dict[str, bytes]
    identities: dict[str, str]
    servers: dict[str, dict[str, Server]]
    maps: dict[str, dict[str, str]]
    lists: dict[str, dict[str, Line]]

    @property
    def flat(self) -> tuple[dict[Any, Any], ...]:
        """The tables whose entries belong to one piece each."""
        pems = (self.files, self.staples, self.identities)
        return (self.sections, self.rules, *pems, self.servers)

    @property
    def deep(self) -> tuple[dict[str, dict[str, Any]], ...]:
        """The tables of tables, which many pieces share."""
        return (self.maps, self.lists)

    def copy(self) -> "Rendered":
        """Return what stays as it is while this one goes on."""
        return Rendered(
            sections=dict(self.sections),
            rules=dict(self.rules),
            files=dict(self.files),
            staples=dict(self.staples),
            identities=dict(self.identities),
            servers=dict(self.servers),
            maps={path: dict(entries) for path, entries in self.maps.items()},
            lists={path: dict(lines) for path, lines in self.lists.items()},
        )


def nothing() -> Rendered:
    """Return what is to be filled."""
    return Rendered({}, {}, {}, {}, {}, {}, {}, {})


NOTHING: Final = nothing()
"""What comes of a row that is not there; nobody may put anything in."""


def texts_of(rendered: Rendered) -> Iterator[tuple[str, str]]:
    """Yield the files besides the configuration, by path; equal meaning is equal bytes.

    What CAs say is no text.
    """
    for path, entries in rendered.maps.items():
        yield path, "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))
    for path, lines in rendered.lists.items():
        yield path, "".join(f"{line.text}\n" for line in sorted(lines.values(), key=_place_of))
    yield from rendered.files.items()
    yield from rendered.identities.items()


def _place_of(line: Line) -> tuple[bool, str]:
    """Return what sorts lines: HAProxy shows the first one where no name fits."""
    return not line.is_default, line.names


class Touched:
    """Entries that are not what they were when somebody looked last.

    Attributes:
        flat, deep: their keys, table by table as `Rendered` has them.
    """

    def __init__(self) -> None:
        self.flat: tuple[set[Any], ...] = tuple(set() for _ in NOTHING.flat)
        self.deep: tuple[dict[str, set[str]], ...] = tuple({} for _ in NOTHING.deep)

    def __bool__(self) -> bool:
        return any(self.flat) or any(self.deep)

    @property
    def backends(self) -> frozenset[str]:
        """Those whose servers have been touched."""
        *_, backends = self.flat
        return frozenset(backends)

    def add(self, piece: Rendered) -> None:
        """Add all entries of a piece."""
        for keys, table in zip(self.flat, piece.flat, strict=True):
            keys.update(table)
        for paths, tables in zip(self.deep, piece.deep, strict=True):
            for path, table in tables.items():
                paths.setdefault(path, set()).update(table)

    def merge(self, other: "Touched") -> None:
        """Add what another one holds."""
        for keys, more in zip(self.flat, other.flat, strict=True):
            keys.update(more)
        for paths, others in zip(self.deep, other.deep, strict=True):
            for path, several in others.items():
                paths.setdefault(path, set()).update(several)

    def cut(self, rendered: Rendered) -> Rendered:
        """Return only what was touched, of what there is."""
        piece = nothing()
        for keys, table, part in zip(self.flat, rendered.flat, piece.flat, strict=True):
            part.update((key, table[key]) for key in keys if key in table)
        for paths, tables, parts in zip(self.deep, rendered.deep, piece.deep, strict=True):
            for path in (each for each in tables if each in paths):
                table = tables[path]
                parts[path] = {key: table[key] for key in paths[path] if key in table}
        return piece

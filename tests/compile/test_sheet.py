"""The spreadsheet by itself: what is computed when, and what a cell may see."""

from collections.abc import Callable, Mapping

import pytest

from onehop.compile.sheet import Cell, Derived, Index, Reader, Settled, Sheet, Table, Whole
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason

TOO_LONG = Problem(
    subject=ObjectRef("Word", "", "long"), reason=Reason.INVALID_OBJECT, message="too long"
)


class Words:
    """Words by key; their lengths; for each first letter asked for, the words in it.

    Attributes:
        computed: every computation, in order.
    """

    def __init__(self) -> None:
        self.computed: list[str] = []
        self.words = Table[str, str]("words")
        self.letters = Table[str, str]("letters")
        self.all_words = Index[str, str, str](self.words, "key", lambda key, _: (key,))
        self.by_letter = Index[str, str, str](self.words, "letter", lambda _, word: (word[0],))
        self.wanted = Index[str, str, str](self.letters, "wanted", lambda _, letter: (letter,))
        self.lengths = Derived[str, int]("lengths", self._length, (self.all_words,))
        self.by_length = Index[str, int, int](self.lengths, "length", lambda _, size: (size,))
        self.pages = Derived[str, str]("pages", self._page, (self.wanted,))
        self.twins = Derived[int, str]("twins", self._twins, (self.by_length,))
        self.ranks = Whole[str, int]("ranks", self._ranks)
        self.medals = Derived[str, str]("medals", self._medal, (self.all_words,))
        tables = (self.lengths, self.pages, self.twins, self.ranks, self.medals)
        self.sheet = Sheet((self.words, self.letters, *tables))

    def write(self, **words: str | None) -> None:
        for key, word in words.items():
            self.sheet.put(self.words, key, word)

    def settle(self, *, only: frozenset[str] | None = None) -> Settled:
        self.computed.clear()
        return self.sheet.settle(only)

    def _length(self, reader: Reader, key: str) -> Cell[int]:
        self.computed.append(f"length of {key}")
        word = reader.get(self.words, key) or ""
        return Cell(len(word), (TOO_LONG,) if len(word) > 5 else ())

    def _page(self, reader: Reader, letter: str) -> Cell[str]:
        self.computed.append(f"page {letter}")
        return Cell(" ".join(reader.where(self.by_letter, letter)))

    def _twins(self, reader: Reader, length: int) -> Cell[str]:
        self.computed.append(f"twins of {length}")
        found = reader.unordered(self.by_length, length)
        return Cell(f"{len(found)} words" if len(found) > 1 else None)

    def _ranks(self, reader: Reader) -> Mapping[str, Cell[int]]:
        self.computed.append("ranks")
        keys = [key for key in "abc" if reader.get(self.words, key) is not None]
        lengths = {key: reader.get(self.lengths, key) or 0 for key in keys}
        ordered = sorted(keys, key=lambda key: (-lengths[key], key))
        return {
            key: Cell(rank, (TOO_LONG,) if lengths[key] > 5 else ())
            for rank, key in enumerate(ordered)
        }

    def _medal(self, reader: Reader, key: str) -> Cell[str]:
        self.computed.append(f"medal of {key}")
        return Cell("gold" if reader.get(self.ranks, key) == 0 else None)


@pytest.fixture
def words() -> Words:
    sample = Words()
    sample.write(a="apple", b="bee")
    sample.settle()
    return sample


def test_only_cells_that_read_what_changed_are_computed(words: Words) -> None:
    """A change of one word leaves the cells of the other alone."""
    words.write(a="axe")
    settled = words.settle(only=frozenset(("lengths",)))

    assert words.computed == ["length of a"]
    assert settled.of(words.lengths) == {"a"}


def test_an_equal_value_changes_nothing(words: Words) -> None:
    """Putting what is there already, or removing what is not, makes nothing dirty."""
    words.write(a="apple", z=None)

    assert not words.sheet.has_dirty()
    assert words.settle() == Settled({}, frozenset())
    assert words.computed == []


def test_a_cell_that_comes_out_as_before_stops_there(words: Words) -> None:
    """Early cutoff: another word of the same length reaches nobody who reads only lengths."""
    words.write(a="angle")
    settled = words.settle()

    assert words.computed == ["length of a", "ranks"]  # the ranks read the words as well
    assert settled.changed == {}


def test_what_was_absent_is_remembered_as_read() -> None:
    """A search that found nothing is repeated when there is something to find."""
    words = Words()
    words.sheet.put(words.letters, "first", "x")
    words.settle()
    assert words.sheet.value(words.pages, "x") == ""

    words.write(k="xylophone")
    words.settle()

    assert words.sheet.value(words.pages, "x") == "xylophone"


def test_a_search_is_ordered_by_key_and_repeated_when_its_rows_change(words: Words) -> None:
    """Rows that come, change under the index key, and go all count; other letters do not."""
    words.sheet.put(words.letters, "first", "a")
    words.settle()
    assert words.sheet.value(words.pages, "a") == "apple"

    words.write(b="ant", a="air")
    words.settle()
    assert words.sheet.value(words.pages, "a") == "air ant"

    words.write(a=None)
    words.settle()
    assert words.sheet.value(words.pages, "a") == "ant"

    words.write(c="cat")
    words.settle()
    assert "page a" not in words.computed


def test_a_cell_goes_with_its_key_and_comes_back_with_it(words: Words) -> None:
    """The domain decides which cells there are."""
    words.write(b="peach")
    words.settle()
    assert words.sheet.values(words.twins) == {5: "2 words"}

    words.write(b=None, a=None)
    settled = words.settle()
    assert words.sheet.values(words.twins) == {}
    assert settled.of(words.lengths) == {"a", "b"}
    assert "twins of 5" not in words.computed

    words.write(a="grape", b="melon")
    words.settle()
    assert words.sheet.values(words.twins) == {5: "2 words"}


def test_a_key_that_goes_and_comes_between_two_passes_is_settled_once(words: Words) -> None:
    """Only what is there at the time of settling counts."""
    words.write(a=None)
    words.write(a="apple")

    assert words.settle().changed == {}
    assert words.computed.count("length of a") == 1


def test_problems_are_told_apart_from_values(words: Words) -> None:
    """A cell whose value stays but whose problems change is reported as such."""
    words.write(a="bananas")
    settled = words.settle()
    assert settled.problems == {("lengths", "a"), ("ranks", "a")}
    assert words.sheet.problems_of(("lengths", "a")) == (TOO_LONG,)
    assert list(words.sheet.problems()) == [TOO_LONG, TOO_LONG]

    words.write(a=None)
    settled = words.settle()
    assert settled.problems == {("lengths", "a"), ("ranks", "a")}
    assert list(words.sheet.problems()) == []


def test_a_whole_table_spares_the_readers_of_rows_that_stay(words: Words) -> None:
    """All rows are computed at once; who reads one of them follows that one only."""
    assert words.sheet.values(words.medals) == {"a": "gold"}

    words.write(c="cherry")
    settled = words.settle()
    assert words.sheet.values(words.ranks) == {"c": 0, "a": 1, "b": 2}
    assert settled.of(words.medals) == {"a", "c"}

    words.write(b="bean")
    settled = words.settle()
    assert words.computed.count("ranks") == 1
    assert not [text for text in words.computed if text.startswith("medal")]

    words.write(c=None)
    settled = words.settle()
    assert settled.of(words.ranks) == {"a", "b", "c"}
    assert words.sheet.values(words.medals) == {"a": "gold"}


def test_some_tables_can_be_settled_before_the_others(words: Words) -> None:
    """What is not settled now stays dirty and is not forgotten."""
    words.write(a="pineapple")
    settled = words.settle(only=frozenset(("lengths",)))
    assert settled.of(words.lengths) == {"a"}
    assert words.sheet.has_dirty()

    words.settle()
    assert words.sheet.value(words.ranks, "a") == 0
    assert not words.sheet.has_dirty()


def test_any_takes_one_row_or_none() -> None:
    """For where all rows under an index key say the same."""
    rows = Table[str, int]("rows")
    keys = Index[str, int, str](rows, "key", lambda key, _: (key,))
    everything = Index[str, int, str](rows, "all", lambda _key, _row: ("all",))
    copies = Derived[str, int](
        "copies",
        lambda reader, _key: Cell(
            (reader.any(everything, "all") or 0) + (reader.any(keys, "") or 0)
        ),
        (keys,),
    )
    sheet = Sheet((rows, copies))
    sheet.put(rows, "one", 7)
    sheet.settle()

    assert sheet.values(copies) == {"one": 7}
    assert list(sheet.entries(keys)) == ["one"]


@pytest.mark.parametrize(
    "read",
    [
        lambda reader, late, _: reader.get(late, "k"),
        lambda reader, _, index: reader.where(index, "k"),
        lambda reader, _, index: reader.unordered(index, "k"),
        lambda reader, _, index: reader.any(index, "k"),
    ],
    ids=["get", "where", "unordered", "any"],
)
def test_a_cell_reads_earlier_tables_only(read: Callable[..., object]) -> None:
    """One pass in the order of the tables settles everything, because nobody reads ahead."""
    rows = Table[str, int]("rows")
    keys = Index[str, int, str](rows, "key", lambda key, _: (key,))
    late = Table[str, int]("late")
    late_keys = Index[str, int, str](late, "key", lambda key, _: (key,))

    def compute(reader: Reader, _key: str) -> Cell[int]:
        read(reader, late, late_keys)
        return Cell(1)

    sheet = Sheet((rows, Derived("early", compute, (keys,)), late))
    sheet.put(rows, "k", 1)

    with pytest.raises(LookupError, match="earlier tables only, not 'late'"):
        sheet.settle()


def test_a_domain_lies_over_earlier_tables() -> None:
    """A table that could come to have cells after its turn is refused when the sheet is made."""
    late = Table[str, int]("late")
    keys = Index[str, int, str](late, "key", lambda key, _: (key,))

    with pytest.raises(LookupError, match="not 'late'"):
        Sheet((Derived[str, int]("early", lambda _reader, _key: Cell(1), (keys,)), late))


def test_a_cell_that_two_indexes_ask_for_stays_while_one_of_them_does() -> None:
    """The second asker computes nothing anew, and the first may leave."""
    computed: list[str] = []
    first, second = Table[str, int]("first"), Table[str, int]("second")
    domain = tuple(
        Index[str, int, str](table, "key", lambda key, _: (key,)) for table in (first, second)
    )

    def compute(_reader: Reader, key: str) -> Cell[str]:
        computed.append(key)
        return Cell(key)

    both = Derived[str, str]("both", compute, domain)
    sheet = Sheet((first, second, both))
    for table, value in ((first, 1), (second, 1), (first, None)):
        sheet.put(table, "k", value)
        sheet.settle()
    assert sheet.values(both) == {"k": "k"}
    assert computed == ["k"]

    sheet.put(second, "k", None)
    sheet.settle()
    assert sheet.values(both) == {}


def test_what_the_domain_promises_must_be_there() -> None:
    """A cell that needs a row its domain does not lie over is a mistake of ours, and loud."""
    rows, others = Table[str, int]("rows"), Table[str, int]("others")
    keys = Index[str, int, str](rows, "key", lambda key, _: (key,))
    sums = Derived[str, int](
        "sums", lambda reader, key: Cell(reader.need(rows, key) + reader.need(others, key)), (keys,)
    )
    sheet = Sheet((rows, others, sums))
    sheet.put(rows, "k", 1)
    with pytest.raises(LookupError, match="no 'k' in 'others'"):
        sheet.settle()

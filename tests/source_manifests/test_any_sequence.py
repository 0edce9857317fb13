"""Whatever is done to the files, what is served is the good ones and the last good of the rest."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.cluster import ClusterObject, Service, ref_of
from onehop.model.ident import ObjectRef
from onehop.source.manifests import ManifestSource
from onehop.source.manifests_folder import Folder, load_manifests, merge, read_folder
from tests.source_manifests.hearing import Hearing, listening, replace, service

FILES = ("a.yaml", "b.yml", "sub/c.yaml")
MARKER = "marker"
NOW_NS = 4_000_000_000_000_000_000

Ports = dict[str, int]
"""Services by name; their port stands for their content."""


class Write(msgspec.Struct, frozen=True):
    """A good file with these Services (none: a comment), written in place or renamed over."""

    file: str
    ports: tuple[tuple[str, int], ...]
    renames: bool = False


class Break(msgspec.Struct, frozen=True):
    """A file of which nothing can be read: no YAML, or no byte at all."""

    file: str
    text: str


class Spoil(msgspec.Struct, frozen=True):
    """A file in which one Service is of the wrong type and another one is good."""

    file: str
    spoilt: str
    good: str
    port: int


class Delete(msgspec.Struct, frozen=True):
    """The file goes."""

    file: str


Operation = Write | Break | Spoil | Delete

names = st.sampled_from(["n1", "n2", "n3"])
files = st.sampled_from(FILES)
ports = st.integers(1, 3)
operations = st.one_of(
    st.builds(
        Write,
        files,
        st.dictionaries(names, ports).map(lambda ports: tuple(ports.items())),
        st.booleans(),
    ),
    st.builds(Break, files, st.sampled_from(["a: [", "", "\n", "a: 1\na: 2", "just text"])),
    st.builds(Spoil, files, names, names, ports),
    st.builds(Delete, files),
)


def perform(folder: Path, operation: Operation) -> None:
    path = folder / operation.file
    match operation:
        case Write(ports=ports, renames=renames):
            text = "# good\n" + "".join(service(name, port) for name, port in ports)
            (replace if renames else Path.write_text)(path, text)
        case Break(text=text):
            path.write_text(text)
        case Spoil(spoilt=spoilt, good=good, port=port):
            path.write_text(service(spoilt).replace("80", "[]") + service(good, port))
        case Delete():
            path.unlink(missing_ok=True)


def expect(state: dict[str, Ports], operation: Operation) -> None:
    """Apply the operation to what each file is expected to contribute."""
    file, before = operation.file, state.get(operation.file, {})
    match operation:
        case Write(ports=ports):
            state[file] = dict(ports)
        case Break():
            state[file] = before
        case Spoil(spoilt=spoilt, good=good, port=port):
            kept = {spoilt: before[spoilt]} if spoilt in before else {}
            state[file] = {**kept, good: port}
        case Delete():
            state.pop(file, None)


def merged(state: dict[str, Ports]) -> Ports:
    """Return what all files contribute: of one name the first by path counts."""
    result: Ports = {}
    for file in sorted(state):
        result = {**state[file], **result}
    return result


def ports_of(objects: Mapping[ObjectRef, ClusterObject]) -> Ports:
    """Return the Services among the objects, but for the marker."""
    return {
        ref.name: item.spec.ports[0].port
        for ref, item in objects.items()
        if isinstance(item, Service) and item.spec.ports and ref.name != MARKER
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(operations, max_size=12))
def test_any_sequence_of_readings_holds_what_is_in_doubt(sequence: list[Operation]) -> None:
    """After every operation the folder contributes what the model of it says."""
    with tempfile.TemporaryDirectory() as directory:
        folder, state, reading = Path(directory), dict[str, Ports](), Folder()
        (folder / "sub").mkdir()
        for operation in sequence:
            perform(folder, operation)
            expect(state, operation)
            reading = read_folder(folder, reading, now_ns=NOW_NS)
            found = merge(entry.file for entry in reading.entries.values())

            assert ports_of(found.objects) == merged(state)


@settings(deadline=None, max_examples=15)
@given(st.lists(operations, max_size=8))
def test_any_sequence_of_writes_reaches_the_sink(sequence: list[Operation]) -> None:
    """The sink's state follows, and equals a fresh reading once every file is good."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "sub").mkdir()
        asyncio.run(_follow(Path(directory), sequence))


async def _follow(folder: Path, sequence: list[Operation]) -> None:
    state: dict[str, Ports] = {}
    async with listening(ManifestSource(folder)) as hearing:
        for number, operation in enumerate(sequence, start=1):
            perform(folder, operation)
            expect(state, operation)
            await _seen(folder, hearing, number)
            assert ports_of(hearing.objects) == merged(state)
        for file in FILES:
            perform(folder, Write(file, tuple(state.get(file, {}).items())))
        await _seen(folder, hearing, len(sequence) + 1)
        fresh, problems = load_manifests(folder)

        assert {ref_of(item): item for item in fresh} == hearing.objects
        assert problems == hearing.problems


async def _seen(folder: Path, hearing: Hearing, number: int) -> None:
    """Wait until a reading took in all that was written so far.

    The marker's file is the first that a reading opens: who saw it sees what was written before.
    """
    ref = ObjectRef("Service", "default", MARKER)
    (folder / "0.yaml").write_text(service(MARKER, number))
    await hearing.until(
        lambda: (
            isinstance(marker := hearing.objects.get(ref), Service)
            and marker.spec.ports is not None
            and marker.spec.ports[0].port == number
        )
    )

"""Stories: what a cluster says, and all that onehop makes of it.

Each folder of `tests/scenarios` is one story, named after what it shows. Its `input.yaml` begins
with a document of what does not come from the cluster, then come the objects. The other files are
golden.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import pytest

from onehop.cluster import ClusterObject
from onehop.compile.compiler import Compiler
from onehop.compile.inputs import Held
from onehop.compile.options import Options
from onehop.driver.envoy.render import render_config, validate_config
from onehop.model.address import Cidr
from onehop.model.model import Model, with_change
from onehop.source.manifests_decode import Fault, decode_document
from onehop.source.manifests_text import parse_text
from tests.golden import (
    check_golden,
    demands_text,
    model_text,
    plain,
    problems_text,
    verdicts_text,
    yaml_text,
)
from tests.routing import PaperTable, settle

STORIES: Final = sorted(
    path.parent for path in Path(__file__).parent.glob("scenarios/*/input.yaml")
)


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first document of a story.

    Attributes:
        held: addresses given before the story begins.
        now: the time of the story; without, expiry is not judged.
        table: the routing table of the host, for stories with `options.proves_reach`.
        returns: whether Pods answer these client networks through this host, as was tried.
    """

    options: Options = Options()
    held: tuple[Held, ...] = ()
    now: datetime | None = None
    table: PaperTable = PaperTable()
    returns: dict[Cidr, bool] = {}


class Story(msgspec.Struct, frozen=True):
    """A story as it was read."""

    head: Head
    objects: tuple[ClusterObject, ...]

    def told(self, random: Random | None = None) -> Compiler:
        """Return a compiler that was told everything, in the file's order or in any."""
        compiler = Compiler(self.head.options)
        if self.head.now is not None:
            compiler.set_hour(int(self.head.now.timestamp()))
        for held in self.head.held:
            compiler.hold(held)
        for clients, works in self.head.returns.items():
            compiler.set_return_path(clients, works=works)
        objects = list(self.objects)
        if random is not None:
            random.shuffle(objects)
        for item in objects:
            compiler.put(item)
        return compiler


def read_story(folder: Path) -> Story:
    """Read `input.yaml`."""
    documents = parse_text((folder / "input.yaml").read_text(encoding="utf-8"), is_json=False)
    assert isinstance(documents, list), documents
    head, *manifests = documents
    objects = tuple(found for manifest in manifests for found in _decoded(manifest))
    return Story(msgspec.convert(head, Head), objects)


def _decoded(manifest: object) -> Iterator[ClusterObject]:
    for found in decode_document(manifest):
        assert not isinstance(found, Fault), found
        yield found


def settled(folder: Path) -> Compiler:
    """Return a compiler that has come to the end of a story."""
    story = read_story(folder)
    compiler = story.told()
    settle(compiler, story.head.table)
    return compiler


@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.name)
def test_a_story_ends_as_its_golden_files_say(folder: Path) -> None:
    """Model, problems and verdicts are as reviewed."""
    story = read_story(folder)
    compiler = story.told()

    outcome = settle(compiler, story.head.table)

    check_golden(folder / "model.yaml", model_text(compiler.model()))
    check_golden(folder / "problems.yaml", problems_text(compiler.problems()))
    check_golden(folder / "verdicts.yaml", verdicts_text(compiler.verdicts()))
    if story.head.options.issuers:
        check_golden(folder / "demands.yaml", demands_text(compiler.demands()))
    assert with_change(Model(), outcome.change) == compiler.model()
    assert outcome.demands == bool(compiler.demands())


@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.name)
def test_envoy_gets_what_the_golden_file_says(folder: Path) -> None:
    """The whole of a story as one static configuration, without private keys."""
    compiler = settled(folder)

    check_golden(folder / "envoy.yaml", yaml_text(plain(render_config(compiler.model()))))


@pytest.mark.envoy
@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.name)
async def test_envoy_takes_every_story(folder: Path) -> None:
    """What we think is a configuration passes the parser that has to read it."""
    compiler = settled(folder)

    await validate_config(compiler.model())


@pytest.mark.parametrize("folder", STORIES, ids=lambda folder: folder.name)
def test_the_order_of_objects_tells_nothing(folder: Path) -> None:
    """The API lists in any order, and sends events in any order."""
    story = read_story(folder)
    first, second = story.told(), story.told(Random(folder.name))  # noqa: S311  no secret

    settle(first, story.head.table)
    settle(second, story.head.table)

    assert first.model() == second.model()
    assert first.problems() == second.problems()
    assert first.verdicts() == second.verdicts()
    assert first.demands() == second.demands()

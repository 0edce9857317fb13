"""A watched folder: what a sink hears when files come, change, break and go."""

import shutil
import time
from pathlib import Path

from onehop.cluster import ConfigMap, Service
from onehop.model.ident import ObjectRef
from onehop.model.problem import Severity
from onehop.source import Batch, Deleted, Source
from onehop.source.manifests import ManifestSource
from tests.source_manifests.hearing import Hearing, listening, replace, service


def batches_since(hearing: Hearing, count: int) -> list[Batch]:
    return hearing.batches[count:]


async def test_the_first_reading_is_one_batch_and_then_complete(tmp_path: Path) -> None:
    """A sink hears everything at once, and only then that absence means something."""
    (tmp_path / "a.yaml").write_text(service("web"))
    (tmp_path / "b.yaml").write_text(service("api"))
    source: Source = ManifestSource(tmp_path)

    assert isinstance(source, ManifestSource)
    async with listening(source) as hearing:
        await hearing.until(lambda: hearing.is_complete)

        assert len(hearing.batches) == 1
        assert hearing.names == ["Service/default/api", "Service/default/web"]


async def test_a_change_tells_only_what_changed_and_soon(tmp_path: Path) -> None:
    """Of a file with two objects the untouched one is not told again; it takes no tenth second."""
    file = tmp_path / "a.yaml"
    file.write_text(service("web") + service("api"))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        latencies = []
        for port in range(1, 6):
            count = len(hearing.batches)
            begin = time.monotonic()
            file.write_text(service("web", port) + service("api"))
            await hearing.until(lambda count=count: len(hearing.batches) > count)  # type: ignore[misc]  # a bound loop variable
            latencies.append(time.monotonic() - begin)

            (batch,) = batches_since(hearing, count)
            (changed,) = batch.changes
            assert isinstance(changed, Service)
            assert changed.metadata.name == "web"
            assert batch.problems is None

        assert min(latencies) < 0.1


async def test_a_file_written_again_with_the_same_content_is_no_news(tmp_path: Path) -> None:
    """Touching, rewriting or renaming a file tells nothing."""
    file = tmp_path / "a.yaml"
    file.write_text(service("web"))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        count = len(hearing.batches)
        replace(file, service("web"))
        file.rename(tmp_path / "b.yaml")
        (tmp_path / "notes.txt").write_text("nothing")
        (tmp_path / "z.yaml").write_text(service("last"))
        await hearing.until(lambda: "Service/default/last" in hearing.names)

        told = [change for batch in batches_since(hearing, count) for change in batch.changes]
        assert [type(change) for change in told] == [Service]


async def test_a_deleted_file_takes_its_objects_along(tmp_path: Path) -> None:
    """In subfolders too, and the last file of the folder as well."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(service("web"))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        shutil.rmtree(tmp_path / "sub")
        await hearing.until(lambda: hearing.names == [])

        assert hearing.batches[-1].changes == (Deleted(ObjectRef("Service", "default", "web")),)
        assert hearing.problems == ()


async def test_a_broken_file_keeps_its_objects_and_is_reported(tmp_path: Path) -> None:
    """The other files go on, and mending it takes the report back."""
    file = tmp_path / "a.yaml"
    file.write_text(service("web") + service("api"))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        replace(file, service("web", 81) + "---\na: [1\n")
        await hearing.until(lambda: bool(hearing.problems))
        (tmp_path / "b.yaml").write_text(service("other"))
        await hearing.until(lambda: "Service/default/other" in hearing.names)

        assert hearing.names == [f"Service/default/{name}" for name in ("api", "other", "web")]
        (problem,) = hearing.problems
        assert problem.subject == ObjectRef("File", "", "a.yaml")
        assert problem.field == "line 8, column 1"

        replace(file, service("web", 81))
        await hearing.until(lambda: hearing.problems == ())
        assert "Service/default/api" not in hearing.names


async def test_an_object_that_broke_keeps_its_last_good_form(tmp_path: Path) -> None:
    """The file's other objects follow its text meanwhile."""
    file = tmp_path / "a.yaml"
    file.write_text(service("web", 80) + service("api", 80) + service("old", 80))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        good = hearing.objects[ObjectRef("Service", "default", "web")]
        replace(file, service("web").replace("80", "many") + service("api", 81))
        await hearing.until(lambda: bool(hearing.problems))

        assert hearing.names == ["Service/default/api", "Service/default/web"]
        assert hearing.objects[ObjectRef("Service", "default", "web")] == good


async def test_an_emptied_file_deletes_nothing(tmp_path: Path) -> None:
    """A file of no bytes is one that is just being written."""
    file = tmp_path / "a.yaml"
    file.write_text(service("web"))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        file.write_text("")
        await hearing.until(lambda: bool(hearing.problems))

        assert hearing.names == ["Service/default/web"]
        assert hearing.problems[0].severity is Severity.WARNING


async def test_a_config_map_volume_is_followed_through_its_swap(tmp_path: Path) -> None:
    """The kubelet's AtomicWriter turns the link `..data` to a new directory in one rename."""
    for stamp, port in (("..1", 80), ("..2", 81)):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / "a.yaml").write_text(service("web", port))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        before = hearing.objects
        first = dict(before)
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..1")
        await hearing.until(lambda: hearing.objects != first)

        assert hearing.names == ["Service/default/web"]
        assert hearing.problems == ()


async def test_a_linked_folder_is_followed_when_its_link_is_turned(tmp_path: Path) -> None:
    """`current -> release-1` becomes `current -> release-2`; the new target is watched, too."""
    for release in ("release-1", "release-2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.yaml").write_text(service(release))
    current = tmp_path / "current"
    current.symlink_to("release-1")

    async with listening(ManifestSource(current)) as hearing:
        await hearing.until(lambda: hearing.names == ["Service/default/release-1"])
        (tmp_path / "next").symlink_to("release-2")
        (tmp_path / "next").rename(current)
        await hearing.until(lambda: hearing.names == ["Service/default/release-2"])
        (tmp_path / "release-2" / "a.yaml").write_text(service("new"))
        await hearing.until(lambda: hearing.names == ["Service/default/new"])


async def test_a_vanished_folder_holds_everything_until_it_is_back(tmp_path: Path) -> None:
    """Neither the missing folder nor an empty mount point in its place deletes an object."""
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    (folder / "a.yaml").write_text(service("web"))

    async with listening(ManifestSource(folder)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        folder.rename(away)
        await hearing.until(lambda: "cannot be read" in str(hearing.problems))
        folder.mkdir()
        await hearing.until(lambda: "another directory" in str(hearing.problems))
        assert hearing.names == ["Service/default/web"]

        folder.rmdir()
        away.rename(folder)
        await hearing.until(lambda: hearing.problems == ())
        (folder / "a.yaml").write_text(service("new"))
        await hearing.until(lambda: hearing.names == ["Service/default/new"])


async def test_nothing_is_complete_before_the_folder_was_there(tmp_path: Path) -> None:
    """A folder that is mounted late is a Problem first; a wanted Secret is not absent yet."""
    folder = tmp_path / "folder"
    source = ManifestSource(folder)
    source.want(frozenset({ObjectRef("Secret", "default", "tls")}))

    async with listening(source) as hearing:
        await hearing.until(lambda: bool(hearing.problems))
        assert not hearing.is_complete
        assert hearing.absent == set()

        folder.mkdir()
        await hearing.until(lambda: hearing.is_complete)
        assert hearing.absent == {ObjectRef("Secret", "default", "tls")}


async def test_secrets_are_told_only_while_they_are_wanted(tmp_path: Path) -> None:
    """Presence, absence and return of a wanted Secret are told; others stay unknown."""
    tls, other = (ObjectRef("Secret", "default", name) for name in ("tls", "other"))
    text = "---\n{{apiVersion: v1, kind: Secret, metadata: {{name: {}}}, stringData: {{a: b}}}}\n"
    file = tmp_path / "a.yaml"
    file.write_text(text.format("tls") + text.format("other"))
    source = ManifestSource(tmp_path)

    async with listening(source) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        assert hearing.objects == {}

        source.want(frozenset({tls}))
        await hearing.until(lambda: set(hearing.objects) == {tls})

        replace(file, text.format("other"))
        await hearing.until(lambda: hearing.absent == {tls})

        source.want(frozenset({other}))
        await hearing.until(lambda: set(hearing.objects) == {other})


async def test_config_maps_are_told_only_while_they_are_wanted(tmp_path: Path) -> None:
    """A folder has many that nobody asks for; of one that is wanted, changes are told."""
    wanted = ObjectRef("ConfigMap", "default", "ca")
    text = "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {}}}, data: {{a: {}}}}}\n"
    file = tmp_path / "a.yaml"
    file.write_text(text.format("ca", "first") + text.format("other", "first"))
    source = ManifestSource(tmp_path)

    async with listening(source) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        assert hearing.objects == {}

        source.want(frozenset({wanted}))
        await hearing.until(lambda: set(hearing.objects) == {wanted})

        replace(file, text.format("ca", "second") + text.format("other", "second"))
        await hearing.until(
            lambda: (
                isinstance(found := hearing.objects[wanted], ConfigMap)
                and found.data == {"a": "second"}
            )
        )
        assert set(hearing.objects) == {wanted}


async def test_a_second_run_tells_everything_again(tmp_path: Path) -> None:
    """A supervisor may start the source anew with another sink."""
    (tmp_path / "a.yaml").write_text(service("web"))
    source = ManifestSource(tmp_path)

    for _ in range(2):
        async with listening(source) as hearing:
            await hearing.until(lambda: hearing.is_complete)
            assert hearing.names == ["Service/default/web"]


async def test_a_file_that_cannot_be_opened_keeps_its_objects(tmp_path: Path) -> None:
    """A link that leads nowhere is not a deleted file: what it led to may come back."""
    file = tmp_path / "a.yaml"
    file.write_text(service("web"))

    async with listening(ManifestSource(tmp_path)) as hearing:
        await hearing.until(lambda: hearing.is_complete)
        (tmp_path / "link").symlink_to("nowhere")
        (tmp_path / "link").rename(file)
        await hearing.until(lambda: bool(hearing.problems))

        assert hearing.names == ["Service/default/web"]
        assert "cannot be read: No such file" in hearing.problems[0].message

"""Files that HAProxy may read at any time: each is as it was, or as it shall be."""

import os
from pathlib import Path
from typing import Any

import pytest

from onehop.base.errors import DriverUnavailable
from onehop.driver.haproxy import HaproxyOptions
from onehop.driver.haproxy.disk import Disk, Snapshot, prepare_folder
from onehop.driver.haproxy.render import render
from onehop.model.listener import ForwardHttp
from onehop.model.model import Model, model_of
from tests.driver_envoy.world import (
    HTTPS,
    endpoint,
    forward,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
)

SITE = identity("site", "a.example", "b.example")
WEB = pool()
TLS = listener(443, ForwardHttp(router=HTTPS, tls=True))
FIRST, SECOND = server_name("a.example", SITE), server_name("b.example", SITE)
TO_WEB = route(forward(WEB))
BEFORE = model_of((WEB, TLS, host("a.example", TO_WEB), SITE.certificate, FIRST))
AFTER = model_of(
    (*(WEB, TLS, host("b.example", TO_WEB), SITE.certificate, SECOND), members(WEB, endpoint(80)))
)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing may be done about it, and nothing afterwards."""


def snapshot(number: int, model: Model, options: HaproxyOptions) -> Snapshot:
    return Snapshot(number, render(model, options), "/run.sock")


def files_in(folder: Path) -> dict[str, str]:
    """Return what HAProxy could read: drafts are named by nobody."""
    paths = (path for path in folder.iterdir() if path.suffix != ".draft")
    return {path.name: path.read_text(encoding="ascii") for path in paths}


def dies_at(step: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the n-th opening, renaming or removing of a file be the last one."""
    left = [step]

    def counted(do: Any) -> Any:
        def doing(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise error
            return do(*args, **kwargs)

        return doing

    monkeypatch.setattr(os, "open", counted(os.open))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))


def written(folder: Path, *models: Model) -> Disk:
    options = HaproxyOptions(state_dir=folder)
    disk = Disk(options)
    for number, model in enumerate(models, start=1):
        disk.write(snapshot(number, model, options))
    return disk


@pytest.mark.parametrize("step", range(20))
@pytest.mark.parametrize("error", [Killed(), OSError(28, "No space left on device")], ids=repr)
def test_what_is_cut_short_leaves_no_half_file(
    step: int, error: BaseException, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is cut; what the configuration names is there; the next write puts all right."""
    goal, folder = temporary / "goal", temporary / "onehop"
    for each in (goal, folder):
        each.mkdir()
    written(goal, AFTER)
    goals = {n: text.replace(str(goal), str(folder)) for n, text in files_in(goal).items()}
    disk = written(folder, BEFORE)
    before = files_in(folder)
    options = HaproxyOptions(state_dir=folder)

    with monkeypatch.context() as patch:
        dies_at(step, patch, error)
        try:
            disk.write(snapshot(2, AFTER, options))
        except (Killed, DriverUnavailable):
            was_cut = True
        else:
            was_cut = False

    found = files_in(folder)
    assert all(text in {before.get(name), goals.get(name)} for name, text in found.items())
    for name in ("l-", "n-"):
        assert any(file.startswith(name) for file in found)
    if isinstance(error, OSError) and was_cut:
        disk.write(snapshot(3, AFTER, options))
        assert files_in(folder) == goals
    else:
        prepare_folder(options)
        assert files_in(folder) == {}
        assert list(folder.iterdir()) == []


def test_an_older_snapshot_does_not_overtake_a_later_one(temporary: Path) -> None:
    """A thread may be late."""
    options = HaproxyOptions(state_dir=temporary)
    disk = written(temporary, BEFORE, AFTER)
    found = files_in(temporary)

    disk.write(snapshot(1, BEFORE, options))

    assert files_in(temporary) == found

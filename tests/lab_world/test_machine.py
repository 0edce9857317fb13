"""What a lab asks of the machine, and how it knows its own programs."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from onehop.base.errors import ConfigError
from onehop.lab.world.build import namespaces_of
from onehop.lab.world.machine import check_machine
from onehop.lab.world.process import Process, send


def test_an_ordinary_user_is_told_to_become_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is tried."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(ConfigError, match="run it as root"):
        check_machine()


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, so that one apt-get does."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def which(tool: str) -> str | None:
        return None if tool in {"nft", "birdc"} else tool

    monkeypatch.setattr(shutil, "which", which)

    with pytest.raises(ConfigError, match=r"no nft, birdc here: apt-get install bird2 nftables$"):
        check_machine()


def test_a_process_that_has_the_number_of_a_dead_one_is_let_be() -> None:
    """Numbers are given again; the time of the start tells them apart."""
    somebody_else = Process(who="lb1", pid=os.getpid(), started=1, argv=())

    assert not somebody_else.is_alive()
    assert not send(somebody_else, signal.SIGKILL)


def test_networks_of_others_are_not_taken_for_a_labs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though their names begin with the same word."""
    for name in ("oh-node1", "oh-tenant", "oh-node1-old", "ohlab-node1", "oh-pod-echo-3"):
        (tmp_path / name).touch()
    monkeypatch.setattr("onehop.lab.world.build.NETNS", tmp_path)

    assert namespaces_of("oh") == ("oh-node1", "oh-pod-echo-3")

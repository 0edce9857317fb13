"""The demo's HTTPS: what it changes, what it prints, and what it does when nothing comes."""

import asyncio
import re
import shlex
import shutil
import signal
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml

from onehop.base.errors import TransientError
from onehop.cli import demo_https
from onehop.cli.demo_https import Door, ask_for_https, wait_for_https
from tests.acme.pebble import free_ports
from tests.e2e.program import ONEHOP

ROOT = Path(demo_https.__file__).parents[1]
_END_S = 60.0
_CURL = re.compile(r"^ +(curl --cacert .*)$", re.MULTILINE)


def test_the_ingress_asks_as_a_user_would(tmp_path: Path) -> None:
    """The annotation and spec.tls for its hosts: nothing else changes, no second file appears."""
    folder = tmp_path / "shop"
    shutil.copytree(ROOT / "lab" / "shop", folder)
    manifest = folder / "shop.yaml"
    before = list(yaml.safe_load_all(manifest.read_text()))

    ask_for_https(manifest)

    after = list(yaml.safe_load_all(manifest.read_text()))
    (changed,) = [number for number, each in enumerate(after) if each not in before]
    ingress, was = after[changed], before[changed]
    assert ingress["metadata"]["annotations"].pop("onehop.dev/acme") == "true"
    assert ingress["spec"].pop("tls") == [
        {"hosts": ["shop.example.com", "api.example.com"], "secretName": "shop-tls"}
    ]
    assert (ingress, len(after)) == (was, len(before))
    assert {path.name for path in tmp_path.rglob("*")} == {"shop", "shop.yaml", "ports.yaml"}


async def test_https_that_does_not_come_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says for how long it was waited for, and what the last attempt met."""
    monkeypatch.setattr(demo_https, "_ISSUED_TIMEOUT_S", 0.1)
    (port,) = free_ports(1)

    with pytest.raises(TransientError, match=r"no HTTPS within .*Connect call failed"):
        await wait_for_https(Door("127.0.0.1", port, ssl.create_default_context()))


@pytest.fixture
async def demo(quiet: None, temporary: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """`onehop demo`, until Ctrl-C."""
    assert quiet is None
    process = await asyncio.create_subprocess_exec(
        ONEHOP,
        "demo",
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(temporary), "COLUMNS": "60"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.envoy
async def test_the_printed_curl_gets_https(
    demo: asyncio.subprocess.Process, temporary: Path
) -> None:
    """It can be copied from however narrow a terminal; and Ctrl-C leaves nothing behind."""
    assert demo.stdout is not None
    async with asyncio.timeout(_END_S):
        said = ""
        while not (command := _CURL.search(said)) and (line := await demo.stdout.readline()):
            said += line.decode()
        assert command, said
        curl = await asyncio.create_subprocess_exec(
            *shlex.split(command[1]), "-sS", stdout=asyncio.subprocess.PIPE
        )
        body, _ = await curl.communicate()
        demo.send_signal(signal.SIGINT)
        await demo.communicate()

    assert b'"app":"web"' in body
    assert demo.returncode == 0
    assert list(temporary.iterdir()) == []

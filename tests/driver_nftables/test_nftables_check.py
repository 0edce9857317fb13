"""What is missing on a host is told at the start and by `onehop check`, with what to do."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from onehop.base.errors import ConfigError, DriverUnavailable
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.finding import Finding
from onehop.control.netcheck import network_findings
from onehop.driver.nftables import NftablesDriver
from onehop.driver.nftables.feature import Feature, missing_features
from onehop.driver.nftables.forwarding import strict_interfaces
from onehop.model.pool import Balancing, SourceIpPersistence
from tests.driver_nftables.namespace import own_namespace
from tests.driver_nftables.world import known, listener, nftables, pool
from tests.net.namespaces import until

KERNEL = Config(data_plane=DataPlaneConfig(layer4="kernel"))
SYSCTL = Path("/proc/sys/net")


@pytest.fixture
def host() -> Generator[None]:
    """A network namespace that passes packets on."""
    with own_namespace():
        yield


async def checked() -> dict[str, Finding]:
    """Return what `onehop check` says of the network."""
    return {finding.check: finding async for finding in network_findings(KERNEL)}


async def refusal() -> str:
    """Return why the driver does not start."""
    with pytest.raises((ConfigError, DriverUnavailable)) as caught:
        async with NftablesDriver().running():
            raise AssertionError
    return str(caught.value)


def ran(*command: str) -> str:
    """Return what a program says."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def nft_that(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a program of this name before all others in PATH; `$nft` is the real one."""
    real = ran("which", "nft")
    program = folder / "nft"
    program.write_text(f"#!/bin/sh\nnft={real}\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.root
@pytest.mark.usefixtures("host")
async def test_a_host_that_lacks_nothing_is_good() -> None:
    """And nothing is left behind by asking."""
    found = await checked()
    assert all(each.is_good for each in found.values())
    assert found["nftables"].said == "the kernel takes our rules"
    assert found["forwarding"].said == "IPv4 and IPv6 are passed on"
    assert ran("nft", "list", "ruleset") == ""


@pytest.mark.root
@pytest.mark.usefixtures("host")
async def test_a_host_that_passes_nothing_on_does_not_start() -> None:
    """It says which settings; with one of them, the other version of IP is the proxy's."""
    (SYSCTL / "ipv4/ip_forward").write_text("0")
    found = (await checked())["forwarding"]
    assert found.is_good
    assert found.advice == "sysctl -w net.ipv4.ip_forward=1"

    (SYSCTL / "ipv6/conf/all/forwarding").write_text("0")
    found = (await checked())["forwarding"]
    assert not found.is_good
    assert found.advice == "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
    assert "net.ipv4.ip_forward is 0" in await refusal()


@pytest.mark.root
@pytest.mark.usefixtures("host")
async def test_a_strict_reverse_path_is_told() -> None:
    """It is no fault by itself: it depends on the ways there are."""
    for name in ("all", "default"):
        (SYSCTL / f"ipv4/conf/{name}/rp_filter").write_text("0")
    ran("ip", "link", "add", "way0", "type", "veth", "peer", "name", "way1")
    assert strict_interfaces() == ()
    (SYSCTL / "ipv4/conf/way0/rp_filter").write_text("1")
    assert strict_interfaces() == ("way0",)
    found = (await checked())["rp_filter"]
    assert found.is_good
    assert found.advice.endswith("sysctl -w net.ipv4.conf.way0.rp_filter=2")
    (SYSCTL / "ipv4/conf/all/rp_filter").write_text("2")
    assert strict_interfaces() == ()


@pytest.mark.root
@pytest.mark.usefixtures("host")
async def test_without_nft_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name of the package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install nftables" in (await checked())["nftables"].said
    assert "apt-get install nftables" in await refusal()


@pytest.mark.root
@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("says", "advice"),
    [
        ("Error: Could not process rule: Operation not permitted", "CAP_NET_ADMIN is missing"),
        (
            "netlink: Error: Unable to initialize Netlink socket: Protocol not supported",
            "this kernel has no nf_tables: modprobe -a nf_tables",
        ),
        ("Error: Could not process rule: No such file or directory", "modprobe -a nf_tables"),
    ],
)
async def test_what_the_kernel_refuses_comes_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, advice: str
) -> None:
    """Whether a right or a module is missing."""
    nft_that(tmp_path, monkeypatch, f'echo "{says}" >&2\nexit 1')
    found = (await checked())["nftables"]
    assert not found.is_good
    assert advice in found.said
    assert advice in await refusal()


@pytest.mark.root
@pytest.mark.usefixtures("host")
async def test_a_kernel_that_cannot_do_one_thing_does_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot do is told, and is left to the proxy."""
    body = """
case "$*" in *-c*) ;; *) exec $nft "$@" ;; esac
rules=$(cat)
case "$rules" in
  *jhash*) echo "Error: Could not process rule: No such file or directory" >&2; exit 1 ;;
esac
printf '%s\\n' "$rules" | $nft "$@"
"""
    nft_that(tmp_path, monkeypatch, body)
    assert (await missing_features()).keys() == {Feature.HASHES}
    assert "cannot hash addresses (modprobe nft_hash)" in (await checked())["nftables"].said
    async with nftables() as driver:
        hashed, sticky = pool(balancing=Balancing.HASH), pool(persistence=SourceIpPersistence())
        assert "cannot hash addresses" in (driver.misfit(listener(hashed), known(hashed)) or "")
        assert driver.misfit(listener(sticky), known(sticky)) is None


NO_KERNEL = """
import errno, socket
from onehop.base.errors import ConfigError
from onehop.driver.nftables.channel import Channel

real = socket.socket
def opened(family=-1, *rest, **named):
    if family == socket.AF_NETLINK:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")
    return real(family, *rest, **named)
socket.socket = opened
try:
    Channel()
except ConfigError as err:
    print(err)
"""


def test_a_kernel_without_nf_tables_is_no_traceback() -> None:
    """Where nobody has registered the protocol."""
    said = ran(sys.executable, "-c", NO_KERNEL)
    assert "this kernel has no nf_tables: modprobe -a nf_tables" in said


UNPRIVILEGED = """
import asyncio
from onehop.base.errors import OnehopError
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.netcheck import network_findings
from onehop.driver.nftables import NftablesDriver, sweep

async def main():
    try:
        async with NftablesDriver().running():
            print("started")
    except OnehopError as err:
        print(type(err).__name__, err)
    print(await sweep())
    config = Config(data_plane=DataPlaneConfig(layer4="kernel"))
    async for finding in network_findings(config):
        print(finding.check, finding.is_good, finding.said, finding.advice)

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.usefixtures("host")
def test_without_the_right_it_says_how_to_get_it() -> None:
    """At the start and by the check; a sweep finds nothing, for such a process has made nothing."""
    without = ("setpriv", "--bounding-set", "-net_admin")
    said = ran(*without, sys.executable, "-c", UNPRIVILEGED).splitlines()
    assert said[0].startswith("ConfigError layer 4 in the kernel: CAP_NET_ADMIN is missing")
    assert "AmbientCapabilities=CAP_NET_ADMIN" in said[0]
    assert said[1] == "False"
    assert said[2].startswith("CAP_NET_ADMIN False missing, and needed for dataPlane.layer4")
    assert "nftables False layer 4 in the kernel: CAP_NET_ADMIN is missing" in said[3]


@pytest.mark.root
@pytest.mark.usefixtures("host")
async def test_forwarding_that_is_switched_off_is_told() -> None:
    """Listeners of that version of IP would be broken without a word."""
    async with nftables() as driver:
        (SYSCTL / "ipv4/ip_forward").write_text("0")
        await until(lambda: "forwarding" in driver.drifts)
        assert driver.describe()["not_ipv4"] == "net.ipv4.ip_forward is 0"
        assert driver.describe()["last_drift"] == "net.ipv4.ip_forward is 0"
        (SYSCTL / "ipv4/ip_forward").write_text("1")
        await until(lambda: "not_ipv4" not in driver.describe())

"""What would keep this host from reaching Pods directly: rights, programs, the way itself."""

import shutil
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Final

from onehop.base.errors import OnehopError
from onehop.control.config import Config
from onehop.control.finding import Finding
from onehop.control.layer4check import layer4_findings
from onehop.net.bird.place import version_of

_CAP_NET_ADMIN: Final = 12  # <linux/capability.h>


async def network_findings(config: Config) -> AsyncGenerator[Finding]:
    """Yield a finding for each thing that the configuration needs of this host's network."""
    needs = tuple(_needs_admin(config))
    if needs:
        yield _admin(needs)
    if config.bgp.asn is not None:
        yield await _bird(config)
    if config.transparent.clients:
        yield _nft()
    if config.data_plane.layer4 == "kernel":
        async for finding in layer4_findings():
            yield finding


def _needs_admin(config: Config) -> Iterator[str]:
    if config.bgp.asn is not None and config.bgp.bird.socket is None:
        yield "bgp"
    if config.reach.routes != "none":
        yield "reach.routes"
    if config.reach.tunnel != "none":
        yield "reach.tunnel"
    if config.transparent.clients:
        yield "transparent"
    if config.data_plane.layer4 == "kernel":
        yield "dataPlane.layer4"


def _admin(needs: tuple[str, ...]) -> Finding:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("CapEff:"))
    has_it = bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return Finding(
        check="CAP_NET_ADMIN",
        is_good=has_it,
        said="there" if has_it else f"missing, and needed for {', '.join(needs)}",
        advice="" if has_it else "run as root, or grant AmbientCapabilities=CAP_NET_ADMIN",
    )


def _socket(path: str) -> Finding:
    is_there = Path(path).is_socket()
    return Finding(
        check="BIRD",
        is_good=is_there,
        said=f"its socket {path} is {'there' if is_there else 'not there'}",
        advice="" if is_there else "start that BIRD, or leave out bgp.bird.socket",
    )


async def _bird(config: Config) -> Finding:
    bird = config.bgp.bird
    if bird.socket is not None:
        return _socket(bird.socket)
    try:
        version = await version_of(bird.binary)
    except OnehopError as err:
        advice = "apt-get install bird2, or name it in bgp.bird.binary"
        return Finding(check="BIRD", is_good=False, said=str(err), advice=advice)
    return Finding(check="BIRD", is_good=True, said=version)


def _nft() -> Finding:
    found = shutil.which("nft")
    return Finding(
        check="nft",
        is_good=found is not None,
        said=found or "not there, and needed for transparent",
        advice="" if found else "apt-get install nftables",
    )

"""The `bgp` section of the configuration: what it asks for, and what is wrong with it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from onehop.base.errors import ConfigError
from onehop.compile.options import BgpOptions, NeighborSource
from onehop.control.config import BgpConfig, Config, NeighborConfig
from onehop.model.address import IpAddr, is_ipv6, is_never_a_backend, parse_ip
from onehop.model.certificate import SecretText
from onehop.model.network import Neighbor, NeighborRole

_RESTART_S: Final = 120
"""What RFC 4724 section 4.1 calls a reasonable bound, and BIRD's default."""
_UPSTREAM_RESTART_S: Final = 5
"""Enough for a BIRD that is started again at once; then clients must go to another host."""

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PASSWORD: Final = re.compile(r"[!#-\[\]-~]{1,80}")
"""Printable ASCII without space, quotation mark and backslash; Linux takes 80 bytes at most
(TCP_MD5SIG_MAXKEYLEN)."""


def bgp_options(config: Config, *, name: str) -> BgpOptions | None:
    """Return what the section means to `compile`, or None for a host without BGP.

    Reads the password files it names.

    Raises:
        ConfigError: the first fault found, with the path of its key.
    """
    bgp = config.bgp
    _check(config, f"{name}: ")
    if bgp.asn is None:
        return None
    listed = bgp.neighbors if isinstance(bgp.neighbors, tuple) else ()
    neighbors = tuple(
        msgspec.structs.replace(
            _neighbor(item, f"{name}: bgp.neighbors[{number}]", NeighborRole.REFLECTOR),
            hears_return=config.transparent.announce,
        )
        for number, item in enumerate(listed)
    )
    upstream = tuple(
        _neighbor(item, f"{name}: bgp.upstream[{number}]", NeighborRole.UPSTREAM)
        for number, item in enumerate(bgp.upstream)
    )
    _check_distinct((*neighbors, *upstream), f"{name}: bgp")
    return BgpOptions(
        asn=bgp.asn,
        source=_source(bgp),
        listed=neighbors,
        upstream=upstream,
        node_asn=bgp.node_asn,
        node_password=_password(bgp.node_password_file, f"{name}: bgp.nodePasswordFile"),
        announces_return=config.transparent.announce,
    )


def _source(bgp: BgpConfig) -> NeighborSource:
    if isinstance(bgp.neighbors, tuple):
        return NeighborSource.LISTED
    return NeighborSource(bgp.neighbors)


def _check(config: Config, at: str) -> None:
    """Check what the section's keys say about each other."""
    bgp, source = config.bgp, _source(config.bgp)
    if bgp.asn is None:
        for key, value in (("neighbors", bgp.neighbors), ("upstream", bgp.upstream)):
            if value:
                raise ConfigError(f"{at}bgp.asn: missing; bgp.{key} needs an AS number of ours")
        if config.transparent.announce:
            raise ConfigError(f"{at}transparent.announce: only with bgp.asn and bgp.neighbors")
    if bgp.node_asn is not None and source is not NeighborSource.CILIUM:
        raise ConfigError(
            f"{at}bgp.nodeAsn: only with `neighbors: cilium`; Calico says it by itself, and a list "
            "has `asn` in each item"
        )
    if bgp.node_password_file is not None and source is NeighborSource.LISTED:
        raise ConfigError(
            f"{at}bgp.nodePasswordFile: only with `neighbors: calico` or `neighbors: cilium`; a "
            "list has `passwordFile` in each item"
        )
    router_id = parse_ip(bgp.router_id) if bgp.router_id is not None else None
    if bgp.router_id is not None and (router_id is None or is_ipv6(router_id)):
        raise ConfigError(
            f"{at}bgp.routerId: {bgp.router_id!r}; allowed is the form of an IPv4 address, such as "
            "192.0.2.1 (RFC 6286)"
        )
    if (bgp.bird.socket is None) != (bgp.bird.include is None):
        raise ConfigError(
            f"{at}bgp.bird: socket and include belong together: a BIRD that somebody else runs "
            "must include the file that onehop writes"
        )


def _neighbor(item: NeighborConfig, key: str, role: NeighborRole) -> Neighbor:
    address = _unicast(item.address, f"{key}.address")
    source = _unicast(item.source, f"{key}.source") if item.source is not None else None
    if source is not None and is_ipv6(source) is not is_ipv6(address):
        raise ConfigError(f"{key}.source: {source} is not of the family of {address}")
    if item.name is not None and not _NAME.fullmatch(item.name):
        raise ConfigError(
            f"{key}.name: {item.name!r}; allowed are up to 63 letters, digits, '.', '_' and '-'"
        )
    return Neighbor(
        name=item.name or address,
        role=role,
        address=address,
        asn=item.asn,
        port=item.port,
        source=source,
        multihop=item.multihop,
        password=_password(item.password_file, f"{key}.passwordFile"),
        bfd=item.bfd,
        graceful_restart_s=_graceful_restart_s(item, role),
        hears_vips=role is NeighborRole.UPSTREAM,
    )


def _graceful_restart_s(item: NeighborConfig, role: NeighborRole) -> int:
    if item.graceful_restart_s is not None:
        return item.graceful_restart_s
    return _UPSTREAM_RESTART_S if role is NeighborRole.UPSTREAM else _RESTART_S


def _unicast(text: str, key: str) -> IpAddr:
    address = parse_ip(text)
    if address is None or is_never_a_backend(address):
        raise ConfigError(
            f"{key}: {text!r}; allowed is the IP address of a router, such as 10.0.0.1"
        )
    return address


def _password(path: str | None, key: str) -> SecretText | None:
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{key}: {path} cannot be read: {err}") from err
    if not _PASSWORD.fullmatch(text):
        raise ConfigError(
            f"{key}: what {path} holds is no password; allowed are 1 to 80 printable ASCII "
            "characters without space, quotation mark and backslash, on one line"
        )
    return SecretText(text)


def _check_distinct(neighbors: Iterable[Neighbor], key: str) -> None:
    names: set[str] = set()
    addresses: set[IpAddr] = set()
    for neighbor in neighbors:
        if neighbor.name in names:
            raise ConfigError(f"{key}: two neighbours are called {neighbor.name!r}")
        if neighbor.address in addresses:
            raise ConfigError(f"{key}: {neighbor.address} is named twice")
        names.add(neighbor.name)
        addresses.add(neighbor.address)

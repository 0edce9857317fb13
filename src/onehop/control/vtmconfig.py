"""What `dataPlane.vtm` means, and which keys do not go together with it."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from onehop.base.errors import ConfigError
from onehop.compile.options import PathPolicy
from onehop.control.config import Config, VtmConfig
from onehop.driver.vtm import VtmOptions
from onehop.driver.vtm.name import is_owner

_ADDRESSES: Final = "not with dataPlane.driver vtm: the unit has the addresses"
_AUTO: Final = (
    "auto looks at this host's routes, and a vTM has its own; say node or local, or pod if the "
    "unit has routes to all Pods"
)


def vtm_options(config: Config) -> VtmOptions:
    """Return what the driver is told of the unit.

    A unit has the addresses and its own routes; what this host would do with either is refused.

    Raises:
        ConfigError: with the first key that is missing, wrong, or does not go with a unit.
    """
    for key, fault in _faults(config):
        raise ConfigError(f"{key}: {fault}")
    return unit_options(config.data_plane.vtm, owner=vtm_owner(config))


def unit_options(vtm: VtmConfig, *, owner: str) -> VtmOptions:
    """Return what the driver is told of a unit, whatever this host does besides."""
    return VtmOptions(
        urls=vtm.urls,
        owner=owner,
        username=vtm.username,
        password_file=Path(vtm.password_file or ""),
        ca_file=Path(vtm.ca_file) if vtm.ca_file is not None else None,
        machines=vtm.machines,
        timeout_s=vtm.timeout_s,
        resync_s=vtm.resync_s,
    )


def vtm_owner(config: Config) -> str:
    """Return what marks our objects on the unit.

    Raises:
        ConfigError: it cannot mark any.
    """
    vtm = config.data_plane.vtm
    owner = vtm.owner or config.cluster.name
    if not is_owner(owner):
        key = "dataPlane.vtm.owner" if vtm.owner is not None else "cluster.name"
        raise ConfigError(f"{key}: {owner!r}; allowed are 32 lower-case letters, digits, - and .")
    return owner


def _faults(config: Config) -> Iterator[tuple[str, str]]:
    vtm = config.data_plane.vtm
    if not vtm.urls:
        yield "dataPlane.vtm.urls", "is needed: a list, such as of https://vtm-1.example:9070"
    for number, url in enumerate(vtm.urls):
        if not _is_member(url):
            allowed = "https://HOST:PORT, or http://127.0.0.1:PORT of an imitation"
            yield f"dataPlane.vtm.urls[{number}]", f"{url!r}; allowed is {allowed}"
    if not vtm.password_file:
        yield "dataPlane.vtm.passwordFile", "is needed: it holds the password, and nothing else"
    if config.addresses.bind.interface:
        yield (
            "addresses.bind.interface",
            "not with dataPlane.driver vtm: the unit has the addresses",
        )
    if config.bgp.upstream:
        yield "bgp.upstream", _ADDRESSES
    if config.path is PathPolicy.AUTO:
        yield "path", _AUTO
    if config.tls.http3:
        yield "tls.http3", "not with dataPlane.driver vtm, which does not speak it"


def _is_member(url: str) -> bool:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return False
    is_bare = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    if not (parts.hostname and port and is_bare):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

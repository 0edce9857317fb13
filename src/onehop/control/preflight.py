"""What would keep onehop from working here, found before it matters."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Final

from onehop.base.errors import ConfigError, OnehopError, TransientError
from onehop.cluster import KINDS, Kind
from onehop.control.acmeconfig import read_issuers
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.configfile import (
    compile_options,
    control_socket,
    parse_listen,
    state_directory,
)
from onehop.control.finding import Finding
from onehop.control.gatewaycheck import gateway_findings
from onehop.control.issuing.fault import RIGHTS_FILE
from onehop.control.issuing.rights import issuing_rights
from onehop.control.netcheck import network_findings
from onehop.control.once import compile_once
from onehop.control.planes import data_plane_version
from onehop.control.sources import custom_kinds, open_source
from onehop.kube import Client, Right
from onehop.source.kubernetes import CORE_KINDS
from onehop.status.rights import NEEDED

_TIMEOUT_S: Final = 20.0
_RIGHTS_FILE: Final = "deploy/rbac.yaml"


def needed_rights(config: Config) -> tuple[Right, ...]:
    """Return every right the program uses.

    deploy/rbac.yaml grants those of all configurations but issuers', for which there is
    deploy/rbac-acme.yaml. Those to Gateway API are needed where a cluster has it: see
    `gatewaycheck`.
    """
    rights = [
        Right(verb=verb, group=_group(kind), resource=KINDS[kind].plural)
        for kind in sorted(CORE_KINDS | custom_kinds(config).all)
        for verb in ("list", "watch", "get")
    ]
    rights += [Right(verb=verb, resource="secrets") for verb in ("get", "list", "watch")]
    lease = {"group": "coordination.k8s.io", "resource": "leases"}
    namespace = config.cluster.namespace
    rights += [
        Right(verb=verb, namespace=namespace, **lease) for verb in ("get", "create", "patch")
    ]
    if config.acme.issuers:
        rights += issuing_rights(namespace)
    return tuple(dict.fromkeys((*rights, *NEEDED)))


def _group(kind: Kind) -> str:
    return KINDS[kind].api_version.rpartition("/")[0]


async def preflight(config: Config) -> AsyncGenerator[Finding]:
    """Yield the findings, the cheap ones first; nothing is changed anywhere."""
    yield await _data_plane(config)
    yield _state(config)
    for finding in _ports(config):
        yield finding
    yield _interface(config)
    async for finding in network_findings(config):
        yield finding
    if config.acme.issuers:
        # It brings the ACME protocol and what belongs to it.
        from onehop.control.acmecheck import issuer_findings  # noqa: PLC0415

        async for finding in issuer_findings(read_issuers(config.acme, name="onehop.yaml")):
            yield finding
    async for finding in _source(config):
        yield finding


async def _data_plane(config: Config) -> Finding:
    try:
        version = await data_plane_version(config)
    except OnehopError as err:
        advice = _advice(config.data_plane)
        return Finding(check="data plane", is_good=False, said=str(err), advice=advice)
    return Finding(check="data plane", is_good=True, said=version)


def _advice(data_plane: DataPlaneConfig) -> str:
    if data_plane.driver == "vtm":
        return "see dataPlane.vtm"
    if data_plane.driver == "haproxy" and data_plane.haproxy.master is not None:
        return "see `A HAProxy of yours` in docs/guide/haproxy.md"
    return "reinstall onehop's packages"


def _state(config: Config) -> Finding:
    directory = state_directory(config)
    probe = directory / ".write-check"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as err:
        return Finding(
            check="state directory",
            is_good=False,
            said=f"{directory}: {err.strerror}",
            advice="set `state` to a directory this user may write to",
        )
    return Finding(check="state directory", is_good=True, said=str(directory))


def _ports(config: Config) -> Iterator[Finding]:
    host, port = parse_listen(config.listen.metrics, name="config")
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
    wanted = [("metrics", host, port, tcp)]
    for vip in compile_options(config).shared:
        wanted += [("shared VIP", vip, n, tcp) for n in (config.ports.http, config.ports.https)]
        if config.tls.http3:
            wanted.append(("shared VIP, HTTP/3", vip, config.ports.https, udp))
    is_running = _runs_here(config)
    for what, address, number, kind in wanted:
        finding = _port(what, address, number, kind)
        if is_running and finding.said == os.strerror(errno.EADDRINUSE):
            said = "taken, by the onehop that runs here"
            finding = Finding(check=finding.check, is_good=True, said=said)
        yield finding


def _runs_here(config: Config) -> bool:
    """Tell whether a onehop with this state directory answers on its control socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(control_socket(config))) == 0


def _port(what: str, address: str, port: int, kind: socket.SocketKind) -> Finding:
    check = f"{what} {address}:{port}"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.closing(socket.socket(family, kind)) as probe:
        if kind is socket.SOCK_STREAM:  # of UDP, two sockets that say so would share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)  # the VIP may not be bound yet
        try:
            probe.bind((address, port))
        except OSError as err:
            advice = {
                errno.EADDRINUSE: "stop what listens there (ss -lntup), or choose another port",
                errno.EACCES: "run as root, or grant CAP_NET_BIND_SERVICE, or use a high port",
            }.get(err.errno or 0, "choose an address of this host")
            return Finding(check=check, is_good=False, said=err.strerror or "?", advice=advice)
    return Finding(check=check, is_good=True, said="free")


_IP_FREEBIND: Final = 15  # linux/in.h; the socket module does not name it


def _interface(config: Config) -> Finding:
    name = config.addresses.bind.interface
    if name is None:
        said = "somebody else owns the VIPs (addresses.bind)"
        return Finding(check="interface", is_good=True, said=said)
    interfaces = {found for _, found in socket.if_nameindex()}
    if name not in interfaces:
        have = ", ".join(sorted(interfaces))
        return Finding(
            check="interface",
            is_good=False,
            said=f"{name} is not there",
            advice=f"use one of {have}",
        )
    return Finding(check="interface", is_good=True, said=name)


async def _source(config: Config) -> AsyncGenerator[Finding]:
    try:
        async with open_source(config) as origin:
            if origin.client is not None:
                async for finding in _rights(origin.client, config):
                    yield finding
                async for finding in gateway_findings(origin.client):
                    yield finding
    except OnehopError as err:
        yield Finding(
            check="source", is_good=False, said=str(err), advice="check cluster.kubeconfig"
        )
        return
    try:
        compiled = await compile_once(config, timeout_s=_TIMEOUT_S)
    except (TransientError, ConfigError) as err:
        yield Finding(check="objects", is_good=False, said=str(err), advice="see the line above")
        return
    said = f"{len(compiled.model.hosts)} hosts, {len(compiled.model.listeners)} listeners"
    yield Finding(check="objects", is_good=not compiled.problems, said=said)
    for problem in compiled.problems:
        yield Finding(check=str(problem.subject), is_good=False, said=problem.message)


async def _rights(client: Client, config: Config) -> AsyncGenerator[Finding]:
    async with asyncio.timeout(_TIMEOUT_S):
        version = await client.server_version()
        missing = [r for r in needed_rights(config) if not await client.can_i(r)]
    yield Finding(check="API server", is_good=True, said=version)
    said = "all there" if not missing else "missing: " + ", ".join(_names(missing))
    of_issuing = frozenset(issuing_rights(config.cluster.namespace))
    files = sorted({RIGHTS_FILE if right in of_issuing else _RIGHTS_FILE for right in missing})
    advice = "; ".join(f"kubectl apply -f {file}" for file in files)
    yield Finding(check="rights", is_good=not missing, said=said, advice=advice)


def _names(rights: Iterable[Right]) -> Iterator[str]:
    for right in rights:
        subresource = f"/{right.subresource}" if right.subresource else ""
        place = f" in {right.namespace}" if right.namespace else ""
        yield f"{right.verb} {right.resource}{subresource}{place}"

"""What address the endpoints of a Service see: this host's, or the client's, and in what way.

`transparent` is only given where it is proven to work. A connection that comes from the client's
own address is answered to the client's own address, and if the answer does not pass through this
host, the client gets it from somebody it never spoke to, and drops it. So the operator names the
networks whose answers come back (`transparent.clients`), `net` tries it, and what it found is an
input (`RETURN_PATHS`). Anything less than proof is `snat`, with a Problem that says why.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

import msgspec

from onehop.cluster import Service
from onehop.compile.backend import options_of
from onehop.compile.inputs import RETURN_PATHS
from onehop.compile.options import PathPolicy
from onehop.compile.policy import Policy
from onehop.compile.sheet import Reader
from onehop.compile.wish import path_of
from onehop.model.address import Cidr, is_ipv6, is_within
from onehop.model.endpoint import Path
from onehop.model.ident import ObjectRef
from onehop.model.pool import ProxyProtocol
from onehop.model.problem import Problem, Reason, Severity

FIELD: Final = "metadata.annotations[onehop.dev/client-address]"
_EVERYBODY: Final = {False: Cidr("0.0.0.0/0"), True: Cidr("::/0")}
_NAMED_NETWORKS: Final = 5


class ClientAddress(StrEnum):
    """What `onehop.dev/client-address` may ask for."""

    SNAT = "snat"
    """Connections come from this host."""
    PROXY_PROTOCOL = "proxy-protocol"
    """They come from this host, and begin with a PROXY header that names the client."""
    TRANSPARENT = "transparent"
    """They come from the client's own address."""


class Granted(msgspec.Struct, frozen=True, gc=False):
    """What a Service gets of what it asked for.

    Attributes:
        policy: as it was said, but for `proxy_protocol` and `client_address`: these say what is
            done.
        return_paths: networks of `transparent.clients` whose return path it depends on.
    """

    policy: Policy
    return_paths: tuple[Cidr, ...] = ()
    problems: tuple[Problem, ...] = ()


def grant(
    reader: Reader, service: Service, policy: Policy, sources: tuple[Cidr, ...] | None
) -> Granted:
    """Decide what the endpoints behind a Service's own ports see.

    Args:
        reader: for the operator's options, and for what is known of return paths.
        service: of type LoadBalancer.
        policy: its annotations.
        sources: clients that are let in; empty is everybody, None is nobody.
    """
    asked, header = policy.client_address, policy.proxy_protocol
    has_header = header not in (None, "none")
    if asked is None or (has_header and asked == ClientAddress.PROXY_PROTOCOL):
        return Granted(policy, problems=_headless(service, asked))
    if has_header or (header == "none" and asked == ClientAddress.PROXY_PROTOCOL):
        said = f"{asked} contradicts onehop.dev/proxy-protocol: {header}, which counts; keep one"
        problem = _problem(service, Reason.INVALID_ANNOTATION, said)
        return Granted(_doing(policy, ClientAddress.SNAT), problems=(problem,))
    if asked == ClientAddress.PROXY_PROTOCOL:
        decided = msgspec.structs.replace(policy, proxy_protocol=ProxyProtocol.V2.value)
        return Granted(decided, problems=_headless(service, asked))
    if asked == ClientAddress.TRANSPARENT and sources is not None:
        return _transparent(reader, service, policy, sources)
    return Granted(_doing(policy, ClientAddress.SNAT))


def keeps_source(path: Path | PathPolicy, service: Service) -> bool:
    """Tell whether a Pod on this rung sees the address that we send from.

    kube-proxy replaces it by the node's own wherever it may send a connection on to another node
    (`externalTrafficPolicy: Cluster`), so that the answer passes through it again. On `auto` it
    depends on where each Pod stands, and at the top of the ladder it is kept.
    """
    if path in (Path.LOCAL, PathPolicy.LOCAL):
        return service.spec.external_traffic_policy == "Local"
    return path not in (Path.NODE, PathPolicy.NODE)


def _transparent(
    reader: Reader, service: Service, policy: Policy, sources: tuple[Cidr, ...]
) -> Granted:
    options = options_of(reader)
    snat = _doing(policy, ClientAddress.SNAT)
    path = path_of(service, policy, options)
    families = {family == "IPv6" for family in service.spec.ip_families or ("IPv4",)}
    if not keeps_source(path, service):
        said = (
            f"on path {path} kube-proxy replaces the client's address by the node's; use path pod,"
            " or local with externalTrafficPolicy: Local"
        )
        return Granted(snat, problems=(_refusal(service, Reason.UNSUPPORTED, said),))
    if len(families) > 1:
        said = (
            "an IPv6 client's address cannot be the source of a connection to an IPv4 Pod; make a"
            " Service for each family (ipFamilyPolicy: SingleStack)"
        )
        return Granted(snat, problems=(_refusal(service, Reason.UNSUPPORTED, said),))
    wanted = tuple(_of_family(sources, ipv6=families.pop()))
    known = {source: _smallest_around(source, options.transparent_clients) for source in wanted}
    strange = [source for source, network in known.items() if network is None]
    if strange:
        said = _not_named(strange, options.transparent_clients)
        return Granted(snat, problems=(_refusal(service, Reason.NO_RETURN_PATH, said),))
    networks = tuple(sorted({network for network in known.values() if network is not None}))
    results = {network: reader.get(RETURN_PATHS, network) for network in networks}
    doubts = [why for network, works in results.items() if (why := _doubt(network, works))]
    if doubts:
        problems = tuple(_refusal(service, Reason.NO_RETURN_PATH, why) for why in doubts)
        return Granted(snat, networks, problems)
    return Granted(policy, networks)


def _doubt(network: Cidr, works: bool | None) -> str | None:  # noqa: FBT001  True, False, unknown
    match works:
        case True:
            return None
        case None:
            return f"whether Pods answer {network} through this host is still being tried"
        case False:
            return (
                f"Pods answer {network} past this host, and clients would drop such answers; lead"
                " the Pods' route to it here, or have BGP do so (transparent.announce)"
            )


def _not_named(sources: list[Cidr], clients: tuple[Cidr, ...]) -> str:
    named = ", ".join(clients[:_NAMED_NETWORKS]) or "no network at all"
    return (
        f"clients of {sources[0]} are let in, but transparent.clients in onehop.yaml, which says"
        f" whom Pods answer through this host, names {named}; narrow loadBalancerSourceRanges"
    )


def _of_family(sources: Iterable[Cidr], *, ipv6: bool) -> Iterator[Cidr]:
    yield from (source for source in sources or _EVERYBODY.values() if is_ipv6(source) is ipv6)


def _smallest_around(source: Cidr, networks: Iterable[Cidr]) -> Cidr | None:
    """Return the smallest of the networks that holds all of this one."""
    around = (network for network in networks if is_within(source, network))
    return max(around, key=lambda network: ip_network(network).prefixlen, default=None)


def _headless(service: Service, asked: str | None) -> tuple[Problem, ...]:
    """Return the Problem of ports that cannot carry the header that was asked for."""
    ports = [str(port.port) for port in service.spec.ports or () if port.protocol == "UDP"]
    if asked is None or not ports:
        return ()
    said = (
        "a datagram has no place for a PROXY header, so endpoints of UDP port"
        f" {', '.join(ports)} see this host's address; transparent works for UDP"
    )
    return (_problem(service, Reason.UNSUPPORTED, said),)


def _doing(policy: Policy, decided: ClientAddress) -> Policy:
    return msgspec.structs.replace(policy, client_address=decided.value)


def _refusal(service: Service, reason: Reason, why: str) -> Problem:
    return _problem(service, reason, f"not transparent, connections come from this host: {why}")


def _problem(service: Service, reason: Reason, message: str) -> Problem:
    meta = service.metadata
    return Problem(
        subject=ObjectRef("Service", meta.namespace, meta.name),
        field=FIELD,
        reason=reason,
        message=message,
        severity=Severity.WARNING,
    )

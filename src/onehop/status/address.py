"""`status.loadBalancer`: which addresses may be shown, and when two statuses mean the same.

All of `status.loadBalancer` of an object of ours is ours: an address that somebody else patched in
makes kube-proxy and DNS controllers send clients to him (CVE-2020-8554), so it is taken out again.
"""

from collections.abc import Container, Iterable

import msgspec

from onehop.cluster.service import IngressAddress, LoadBalancerStatus, PortStatus
from onehop.compile.verdict import ServiceVerdict
from onehop.model.address import parse_ip
from onehop.model.ident import ListenerId
from onehop.status.report import Report

REFUSED_PORT = "onehop.dev/DataPlaneRefused"
"""`ports[].error` of a port the data plane would not take (KEP-1435; a qualified name)."""


def wanted_of_service(
    verdict: ServiceVerdict, report: Report, live: LoadBalancerStatus
) -> LoadBalancerStatus:
    """Return what `status.loadBalancer` of a Service shall be now.

    An address is shown once the data plane serves a port on it. Until everything is answered, what
    is shown stays if it is, or still is, ours: a restart must not blink.
    """
    entries = verdict.status.ingress or ()
    if report.is_pending:
        ours = {entry.ip for entry in entries} | {address_of(item) for item in report.served}
        return _only(live, ours)
    return _load_balancer(
        shown
        for entry in entries
        if (shown := _shown(entry, _listeners(verdict, entry), report, live)) is not None
    )


def wanted_of_ingress(
    wanted: LoadBalancerStatus, report: Report, live: LoadBalancerStatus
) -> LoadBalancerStatus:
    """Return what `status.loadBalancer` of an Ingress shall be now."""
    if not report.is_pending:
        return wanted
    return _only(live, {entry.ip for entry in wanted.ingress or ()})


def means_same(one: LoadBalancerStatus, other: LoadBalancerStatus) -> bool:
    """Tell whether two statuses mean the same: order, spelling and missing defaults aside."""
    ours, theirs = (sorted(map(_key, status.ingress or ())) for status in (one, other))
    if ours != theirs:
        return False
    modes = _modes(one), _modes(other)
    # The API fills in `VIP` (KEP-1860). No mode at all is a server that does not know the field,
    # and would not keep ours either.
    return all(
        modes[0][ip] == modes[1][ip] or None in (modes[0][ip], modes[1][ip]) for ip in modes[0]
    )


def address_of(listener: ListenerId) -> str:
    """Return the address in `namespace/service:port/protocol@address`."""
    return listener.rpartition("@")[2]


def _shown(
    entry: IngressAddress,
    listeners: tuple[ListenerId, ...],
    report: Report,
    live: LoadBalancerStatus,
) -> IngressAddress | None:
    if not report.served.isdisjoint(listeners):
        ports = tuple(
            _answered(port, listener, report)
            for port, listener in zip(entry.ports or (), listeners, strict=True)
        )
        return msgspec.structs.replace(entry, ports=ports)
    # All of it was refused: what was served on it before goes on, and stays shown.
    return next((each for each in live.ingress or () if each.ip == entry.ip), None)


def _answered(port: PortStatus, listener: ListenerId, report: Report) -> PortStatus:
    if listener in report.served:
        return port
    return msgspec.structs.replace(port, error=REFUSED_PORT)


def _listeners(verdict: ServiceVerdict, entry: IngressAddress) -> tuple[ListenerId, ...]:
    """Return the listener of each port of an address, in the order of its ports."""
    name = f"{verdict.ref.namespace}/{verdict.ref.name}"
    return tuple(
        ListenerId(f"{name}:{port.port}/{port.protocol}@{entry.ip}") for port in entry.ports or ()
    )


def _only(live: LoadBalancerStatus, ours: Container[str | None]) -> LoadBalancerStatus:
    return _load_balancer(each for each in live.ingress or () if each.ip in ours)


def _load_balancer(entries: Iterable[IngressAddress]) -> LoadBalancerStatus:
    return LoadBalancerStatus(tuple(entries) or None)


def _key(entry: IngressAddress) -> tuple[str, str, list[tuple[int, str, str]]]:
    ports = sorted((port.port, port.protocol, port.error or "") for port in entry.ports or ())
    return (_spelled(entry.ip), entry.hostname or "", ports)


def _modes(status: LoadBalancerStatus) -> dict[str, str | None]:
    return {_spelled(entry.ip): entry.ip_mode for entry in status.ingress or ()}


def _spelled(ip: str | None) -> str:
    return parse_ip(ip or "") or ip or ""

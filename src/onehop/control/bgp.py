"""BGP: what BIRD is told, and what it and the kernel say back."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.control.overview import Session
from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.network import Neighbor, NeighborRole, Network
from onehop.model.problem import Problem, Reason, Severity
from onehop.model.reach import RouteKind
from onehop.net.bird.audit import Finding, FindingKind, audit
from onehop.net.bird.bird import Bird
from onehop.net.bird.speaker import Speaker
from onehop.net.bird.state import BgpSession, BgpState, SessionState
from onehop.net.fib import Fib

log = structlog.get_logger(__name__)

AUDIT_S: Final = 5.0
"""How often routes are compared with who owns what; the ladder itself does not wait for this."""

_REASONS: Final = {
    FindingKind.MISSING: Reason.ROUTE_MISSING,
    FindingKind.HIJACKED: Reason.ROUTE_HIJACKED,
    FindingKind.STALE: Reason.ROUTE_STALE,
}


class BgpPart:
    """A BIRD that hears of Pods from the nodes, and tells routers upstream of the VIPs.

    Attributes:
        vips: what is announced now.
        findings: what the last audit found.
    """

    def __init__(
        self, bird: Bird, fib: Fib, *, router_id: IpAddr | None, returns: tuple[Cidr, ...]
    ) -> None:
        self.vips: tuple[IpAddr, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        self._bird = bird
        self._fib = fib
        self._router_id = router_id
        self._returns = returns
        self._network: Network | None = None

    @property
    def state(self) -> BgpState:
        """What BIRD says of itself."""
        return self._bird.state

    @property
    def counts(self) -> Counter[str]:
        """What the last audit found, by kind."""
        return Counter(finding.kind.value for finding in self.findings)

    def want(self, network: Network) -> None:
        """Hold these sessions, and believe routes to these blocks."""
        self._network = network
        self._tell()

    def announce(self, vips: frozenset[IpAddr]) -> None:
        """Tell routers upstream of these VIPs, and of no others."""
        self.vips = tuple(sorted(vips))
        self._tell()

    async def withdraw(self) -> None:
        """Have routers upstream told that no VIP is here any more."""
        try:
            await self._bird.withdraw_vips()
        except TransientError as err:
            log.warning("vips_not_withdrawn", error=str(err))

    @property
    def has_listeners(self) -> bool:
        """Tell whether any router hears of our VIPs."""
        return any(neighbor.hears_vips for neighbor in self._neighbors())

    def _tell(self) -> None:
        if self._network is None:
            return  # who our neighbours are is not known yet
        self._bird.want(
            Speaker(
                network=self._network,
                vips=self.vips,
                returns=self._returns,
                router_id=self._router_id,
            )
        )

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions as `onehop status` shows them."""
        roles = {neighbor.name: neighbor.role for neighbor in self._neighbors()}
        return tuple(
            Session(
                name=each.name,
                role=str(roles.get(each.name, "")),
                address=each.address,
                asn=each.asn,
                state=each.state.value,
                learnt=each.imported,
                refused=each.filtered,
                told=each.exported,
                error=each.last_error,
            )
            for each in self.state.sessions
        )

    def problems(self) -> tuple[Problem, ...]:
        """Return sessions that are down, routes that are wrong, and what BIRD refuses."""
        faults = (_bird_problem(self.state.fault),) if self.state.fault else ()
        roles = {neighbor.name: neighbor.role for neighbor in self._neighbors()}
        down = (
            _session_problem(each, roles.get(each.name))
            for each in self.state.sessions
            if each.state is not SessionState.ESTABLISHED
        )
        return (*faults, *down, *map(_finding_problem, self.findings))

    async def run(self) -> None:
        """Keep BIRD running, and its routes audited, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._bird.run())
            while True:
                await asyncio.sleep(AUDIT_S)
                if self._network is not None:
                    self.findings = tuple(self._audit(self._network))

    def _audit(self, network: Network) -> Iterator[Finding]:
        """Yield what is wrong; to our own end of an overlay no route has to lead."""
        kernel = [route for each in network.ranges for route in self._fib.routes(each)]
        ends: dict[str | None, list[IpAddr]] = {}
        for tunnel in network.tunnels:
            ends.setdefault(tunnel.node, []).append(tunnel.inner)
        for finding in audit(network, kernel, self.state.offered):
            is_missing = finding.kind is FindingKind.MISSING
            if not (is_missing and any(map(self._is_here, ends.get(finding.node, ())))):
                yield finding

    def _is_here(self, address: IpAddr) -> bool:
        route = self._fib.route_to(address)
        return route is not None and route.kind is RouteKind.LOCAL

    def _neighbors(self) -> tuple[Neighbor, ...]:
        return self._network.neighbors if self._network is not None else ()


def _bird_problem(fault: str) -> Problem:
    return Problem(
        subject=ObjectRef("Config", "", "bgp"),
        reason=Reason.BGP_NOT_SPOKEN,
        message=f"BIRD does not do what it shall: {fault}; what it did before stays in force",
    )


def _session_problem(session: BgpSession, role: NeighborRole | None) -> Problem:
    kind = "Neighbor" if role is NeighborRole.UPSTREAM else "Node"
    error = f": {session.last_error}" if session.last_error else ""
    return Problem(
        subject=ObjectRef(kind, "", session.name),
        reason=Reason.BGP_SESSION_DOWN,
        message=f"no BGP session with {session.address} (AS {session.asn}), which is"
        f" {session.state.value}{error}",
        severity=Severity.WARNING,
    )


def _finding_problem(finding: Finding) -> Problem:
    return Problem(
        subject=ObjectRef("Node", "", finding.node or ""),
        reason=_REASONS[finding.kind],
        message=finding.message,
        severity=Severity.WARNING,
    )

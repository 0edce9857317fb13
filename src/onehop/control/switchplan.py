"""What would be different if another data plane served: by what each declares, before it runs.

Pure: the Model that is served, and two data planes by what they cannot do. What only a running one
can tell (a port that somebody else has) it tells when it is switched to; nothing is changed then.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from onehop.control.abilities import advice_on, shortcomings_of
from onehop.control.config import DataPlaneConfig
from onehop.driver.capability import Capability, Extent, Shortcomings
from onehop.driver.moving.driver import DRAIN_S
from onehop.driver.shortfall import unmet
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardHttp, ForwardUdp, Listener
from onehop.model.model import Model, Row, key_of
from onehop.model.pool import (
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    SourceIpPersistence,
)
from onehop.model.route import VirtualHost

MOVABLE: Final = frozenset(("envoy", "haproxy"))
"""Those whose sockets are on this host: they take each other's place while they serve."""


ATTACHED_STAYS: Final = (
    "a HAProxy of yours (dataPlane.haproxy.master) is not moved to or from while it serves: that "
    "takes a restart of onehop, and away from it one of your HAProxy without onehop's folder"
)


def is_attached(data_plane: DataPlaneConfig) -> bool:
    """Tell whether a data plane is a HAProxy that somebody else runs."""
    return data_plane.driver == "haproxy" and data_plane.haproxy.master is not None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was.

    Attributes:
        said: what, in a few words.
        advice: what can be done about it; empty for nothing.
        concerned: whom it touches: objects, or rows that are nobody's.
    """

    said: str
    advice: str = ""
    concerned: tuple[str, ...] = ()


class SwitchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a switch would mean.

    Attributes:
        program: which program would carry the traffic, and its version; empty if it is not there.
        obstacles: why it cannot be at all.
        lost: what would no longer be served, or served without something that was asked for.
        gained: what is not served now, and would be.
        differs: what would be served, but differently.
        same: how many rows would be served as they are, by table.
        way: how the switch goes, step by step.
    """

    have: str
    want: str
    program: str = ""
    obstacles: tuple[str, ...] = ()
    lost: tuple[Difference, ...] = ()
    gained: tuple[Difference, ...] = ()
    differs: tuple[Difference, ...] = ()
    same: dict[str, int] = {}
    way: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing would be lost."""
        return not (self.obstacles or self.lost)


class _Findings:
    """Differences that are put together by what they say."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[str, None]] = {}

    def add(self, said: str, concerned: str, advice: str = "") -> None:
        self._found.setdefault((said, advice), {})[concerned] = None

    def all(self) -> tuple[Difference, ...]:
        return tuple(
            Difference(said=said, advice=advice, concerned=tuple(concerned))
            for (said, advice), concerned in self._found.items()
        )


def plan_switch(
    model: Model, *, have: str, want: str, refuses: Callable[[Row], str | None]
) -> SwitchPlan:
    """Return what would be different.

    Args:
        model: what is served.
        have: the data plane that serves, by name.
        want: the one that would.
        refuses: returns why that would not take a row at all.
    """
    lost, gained, differs = _Findings(), _Findings(), _Findings()
    same: Counter[str] = Counter()
    has, gets = shortcomings_of(have), shortcomings_of(want)
    for row in model.rows():
        found = tuple(_lost(row, has, gets, refuses))
        for said, concerned, advice in found:
            lost.add(said, concerned, advice)
        changes = tuple(_changed(row, has, gets))
        for said, concerned in changes:
            differs.add(said, concerned)
        for said, concerned in _gained(row, has, gets):
            gained.add(said, concerned)
        if not found and not changes:
            same[str(key_of(row).table)] += 1
    for said, concerned in _forgotten(model, is_other=have != want):
        differs.add(said, concerned)
    return SwitchPlan(
        have=have,
        want=want,
        lost=lost.all(),
        gained=gained.all(),
        differs=differs.all(),
        same=dict(same),
        way=_way(have, want),
    )


def _lost(
    row: Row, has: Shortcomings, gets: Shortcomings, refuses: Callable[[Row], str | None]
) -> Iterator[tuple[str, str, str]]:
    """Yield what a row would no longer have: what, who asked for it, and what to do."""
    asks = [ask for ask in dict.fromkeys(unmet(row, gets)) if not _lacks(has, ask.capability)]
    for ask in asks:
        yield gets[ask.capability].words, _name(ask.owner, row), advice_on(ask.capability)
    reason = refuses(row)
    if reason is not None and not any(gets[ask.capability].words in reason for ask in asks):
        yield f"not served: {reason}", _name(None, row), ""


def _changed(row: Row, has: Shortcomings, gets: Shortcomings) -> Iterator[tuple[str, str]]:
    for ask in dict.fromkeys(unmet(row, gets, Extent.PARTLY)):
        if has.get(ask.capability) != gets[ask.capability]:
            yield gets[ask.capability].words, _name(ask.owner, row)


def _gained(row: Row, has: Shortcomings, gets: Shortcomings) -> Iterator[tuple[str, str]]:
    for ask in dict.fromkeys(unmet(row, has)):
        if not _lacks(gets, ask.capability):
            yield f"no longer so: {has[ask.capability].words}", _name(ask.owner, row)


def _lacks(shortcomings: Shortcomings, capability: Capability) -> bool:
    support = shortcomings.get(capability)
    return support is not None and support.extent is Extent.NO


def _name(owner: ObjectRef | None, row: Row) -> str:
    key = key_of(row)
    return f"{key.table} {key.id}" if owner is None else str(owner)


def _forgotten(model: Model, *, is_other: bool) -> Iterator[tuple[str, str]]:
    """Yield what one process knows of its clients and does not tell another one."""
    for pool in model.pools:
        name = str(pool.service)
        match pool.persistence:
            case CookiePersistence() | HeaderPersistence() if is_other:
                yield "sessions are not carried over: clients get another cookie or header", name
            case SourceIpPersistence() if is_other:
                yield "clients are spread anew: another hash of their addresses", name
            case _:
                if pool.balancing is Balancing.HASH and is_other:
                    yield "clients are spread anew: another hash of their addresses", name
        if pool.health_check is not None:
            yield "health checks begin anew", name
    for host in model.hosts:
        for owner in _limited(host):
            yield "what clients have used of their rate limit is forgotten", owner
    yield from _flows(model.listeners)


def _limited(host: VirtualHost) -> Iterator[str]:
    limited = (route for route in host.routes if route.guard.rate_limit is not None)
    return (_name(route.owner, host) for route in limited)


def _flows(listeners: Iterable[Listener]) -> Iterator[tuple[str, str]]:
    for listener in listeners:
        name = _name(listener.owner, listener)
        match listener.handler:
            case ForwardUdp():
                yield "flows of UDP may reach other endpoints from then on", name
            case ForwardHttp(http3=True):
                yield "connections of HTTP/3 end: clients open others", name
            case ForwardHttp(tls=True):
                yield "TLS sessions are not resumed: one whole handshake for each client", name
            case _:
                pass


def with_moved(plan: SwitchPlan, listeners: Iterable[Listener]) -> SwitchPlan:
    """Return the plan with the listeners that the kernel takes from a proxy, or gives to one."""
    by = "the kernel" if _has_kernel(plan.want) else plan.want
    names = tuple(dict.fromkeys(_name(each.owner, each) for each in listeners))
    if not names or _has_kernel(plan.have) == _has_kernel(plan.want):
        return plan
    moved = Difference(said=f"served by {by} from then on", concerned=names)
    return msgspec.structs.replace(plan, differs=(*plan.differs, moved))


def _has_kernel(name: str) -> bool:
    return "+" in name


def _way(have: str, want: str) -> tuple[str, ...]:
    had, proxy = have.partition("+")[0], want.partition("+")[0]
    if {had, proxy} <= MOVABLE:
        return tuple(_live_way(have, want))
    if had == proxy:
        return ("the unit goes on; a restart of onehop reads the file",)
    if proxy == "vtm":
        return (
            "set dataPlane.driver to vtm, and addresses.bind to none, then run: onehop switch",
            "the unit is given everything, which is read back and compared",
            f"if it refuses something, or does not raise the addresses, {had} goes on",
            "clients are asked to come back, the unit raises the addresses, this host drops them",
            f"new connections go to the unit; those to {had} end",
        )
    return (
        "stop onehop; what it has on the unit serves on",
        f"set dataPlane.driver to {proxy}, and addresses.bind to the interface that has them then",
        "disable the traffic IP groups of ours on the unit: connections end, nobody has them now",
        "start onehop: it binds the addresses and serves; then delete what is ours on the unit",
    )


def _live_way(have: str, want: str) -> Iterator[str]:
    had, proxy = have.partition("+")[0], want.partition("+")[0]
    keys = [f"dataPlane.driver to {proxy}"] if had != proxy else []
    if _has_kernel(have) != _has_kernel(want):
        keys.append(f"dataPlane.layer4 to {'kernel' if _has_kernel(want) else 'proxy'}")
    if keys:
        yield f"set {' and '.join(keys)}, then run: onehop switch"
    if had != proxy:
        yield f"{proxy} starts beside {had} and is given everything"
        yield f"if it refuses something, or does not come up, {had} goes on"
        yield f"new connections go to {proxy}; none is lost"
        yield f"connections to {had} are asked to close, and may go on for {DRAIN_S:g} seconds"

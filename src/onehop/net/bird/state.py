"""What BIRD knows: its sessions, and every route that was offered to it."""

from enum import StrEnum

import msgspec

from onehop.model.address import Cidr, IpAddr


class SessionState(StrEnum):
    """Of a session: the states of RFC 4271 section 8.2.2, and `down`, where nothing is tried."""

    IDLE = "idle"
    CONNECT = "connect"
    ACTIVE = "active"
    OPEN_SENT = "opensent"
    OPEN_CONFIRM = "openconfirm"
    ESTABLISHED = "established"
    DOWN = "down"


class BgpSession(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """A session as it is now.

    Attributes:
        name: of the neighbour, as the `Network` calls it.
        since_s: when it came into this state, in seconds since the epoch; None if nobody knows.
        imported: routes that were believed.
        filtered: routes that were refused.
        exported: routes that the neighbour was told.
        last_error: why it is not up, as BIRD says it, or why BIRD was not told of it; a wrong
            password leaves none, because the kernel drops such packets before anybody sees them.
    """

    name: str
    address: IpAddr
    asn: int
    state: SessionState = SessionState.DOWN
    since_s: float | None = None
    imported: int = 0
    filtered: int = 0
    exported: int = 0
    last_error: str = ""


class OfferedRoute(msgspec.Struct, frozen=True, order=True, gc=False, kw_only=True):
    """A route that a neighbour told us.

    Attributes:
        next_hop: BGP's NEXT_HOP attribute.
        neighbor: as the `Network` calls it.
        is_accepted: whether it was believed; not whether it is the best one.
    """

    prefix: Cidr
    next_hop: IpAddr
    neighbor: str
    is_accepted: bool


class BgpState(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of BIRD.

    Attributes:
        version: as `2.17.6`; empty before BIRD has answered for the first time.
        is_running: whether it answers; if not, all else is what was known last.
        fault: why BIRD does not do what it shall: what it refused of the configuration, or why it
            does not come up. The last good configuration stays in force.
        is_current: whether BIRD has been given what is wanted.
        restarts: how often it was started again after it had died.
        sessions: by name.
        offered: sorted.
    """

    version: str = ""
    is_running: bool = False
    fault: str = ""
    is_current: bool = False
    restarts: int = 0
    sessions: tuple[BgpSession, ...] = ()
    offered: tuple[OfferedRoute, ...] = ()

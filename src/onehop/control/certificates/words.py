"""Times and phases in plain words."""

from datetime import UTC, datetime
from typing import Final, assert_never

from onehop.acme.state import Phase, State
from onehop.control.certificates.report import Leader

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def day_text(at: float) -> str:
    """Return the day of a time, in UTC: `2026-12-30`."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def soon_text(at: float | None, now: float) -> str:
    """Return when something happens: `now`, `in 40 s`, `in 12 min`, `in 3 h`, `on 2026-12-30`."""
    left_s = (at or now) - now
    if left_s < 1:
        return "now"
    if left_s < _MINUTE_S:
        return f"in {left_s:.0f} s"
    if left_s < _HOUR_S:
        return f"in {left_s / _MINUTE_S:.0f} min"
    if left_s < _DAY_S:
        return f"in {left_s / _HOUR_S:.0f} h"
    return f"on {day_text(now + left_s)}"


def next_text(state: State, now: float) -> str:
    """Return what the engine does next about a Secret, or is doing."""
    when = soon_text(state.next_at, now)
    match state.phase:
        case Phase.WAITING:
            return "waits for its turn"
        case Phase.CHECKING:
            return f"checks whether {state.issuer} would find the hosts"
        case Phase.ORDERING:
            return f"places an order with {state.issuer}"
        case Phase.PROVING:
            return f"{state.issuer} is looking at the hosts"
        case Phase.ISSUING:
            return f"{state.issuer} is making the certificate"
        case Phase.VALID:
            return _renewal_text(state, now)
        case Phase.LIMITED:
            return f"goes on {when}, when a limit of {state.issuer} allows it"
        case Phase.REFUSED | Phase.UNAVAILABLE:
            return f"tries again {when}"
        case Phase.FOREIGN:
            return f"looks {when} whether the Secret was given up"
        case _:
            assert_never(state.phase)


def unled_text(leader: Leader) -> str:
    """Return who sees to certificates, where it is not this host."""
    if leader.name:
        return f"{leader.name} leads and orders certificates; ask the onehop there"
    return "no host leads just now, so nobody orders certificates; see the Lease `onehop`"


def _renewal_text(state: State, now: float) -> str:
    at = state.renews_at if state.renews_at is not None else state.next_at
    why = "the CA's window, RFC 9773" if state.is_in_window else "by its lifetime"
    return f"renews itself {soon_text(at, now)} ({why})"

"""What BIRD's answers mean; those of BIRD 2 and BIRD 3 differ a little."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from onehop.model.address import Cidr, parse_cidr, parse_ip
from onehop.model.network import Neighbor
from onehop.net.bird.state import BgpSession, OfferedRoute, SessionState

_PROTOCOL: Final = re.compile(
    r"(?P<name>\S+)\s+BGP\s+\S+\s+\S+\s+(?P<since>[\d:. -]*\d)(?:\s+(?P<info>.*))?"
)
_COUNTED: Final = re.compile(r"(\d+) (imported|filtered|exported)")
_ROUTE: Final = re.compile(r"(?P<prefix>[0-9a-f.:]+/\d+)?\s+\w+ \[(?P<protocol>\w+) ")
_NEXT_HOP: Final = re.compile(r"\s*(?:BGP\.|bgp_)next_hop: (\S+)")
_MIDNIGHT: Final = "%H:%M:%S"


class Reading(msgspec.Struct, frozen=True):
    """A session, and what changes whenever its routes do.

    Attributes:
        moves: BIRD's counts of route updates and withdrawals.
    """

    session: BgpSession
    moves: tuple[str, ...]


def read_sessions(
    lines: Iterable[str], neighbors: Mapping[str, Neighbor], now: dt.datetime
) -> tuple[Reading, ...]:
    """Return our sessions out of the answer to `show protocols all`, by name.

    Args:
        lines: of the answer.
        neighbors: by the names of their protocols; others are left out.
        now: the local time, for a BIRD that tells times without the date.
    """
    found: list[Reading] = []
    for head, details in _protocols(lines):
        neighbor = neighbors.get(head["name"])
        if neighbor is not None:
            found.append(_read_session(neighbor, head, details, now))
    return tuple(sorted(found, key=lambda each: each.session.name))


def read_routes(
    lines: Iterable[str], neighbors: Mapping[str, Neighbor], *, is_accepted: bool
) -> frozenset[OfferedRoute]:
    """Return the routes that came by BGP, out of the answer to `show route all`."""
    found: set[OfferedRoute] = set()
    prefix: Cidr | None = None
    neighbor: Neighbor | None = None
    for line in lines:
        head = _ROUTE.match(line)
        if head is not None:
            # Further routes to the same prefix stand below the first one without naming it.
            prefix = parse_cidr(head["prefix"]) if head["prefix"] else prefix
            neighbor = neighbors.get(head["protocol"])
            continue
        said = _NEXT_HOP.match(line)
        hop = parse_ip(said[1]) if said is not None else None
        if hop is not None and prefix is not None and neighbor is not None:
            route = OfferedRoute(
                prefix=prefix, next_hop=hop, neighbor=neighbor.name, is_accepted=is_accepted
            )
            found.add(route)
    return frozenset(found)


def read_since(text: str, now: dt.datetime) -> float | None:
    """Return a time of BIRD's as seconds since the epoch.

    BIRD says what its `timeformat` says: ours is a date with a time; the default is the time alone
    for the last day, and the date alone for what is older.
    """
    text = text.strip()
    try:
        if ":" not in text:
            return dt.datetime.fromisoformat(text).replace(tzinfo=now.tzinfo).timestamp()
        if "-" in text:
            return dt.datetime.fromisoformat(text).replace(tzinfo=now.tzinfo).timestamp()
        clock = dt.time.fromisoformat(text)
    except ValueError:
        return None
    then = dt.datetime.combine(now.date(), clock, tzinfo=now.tzinfo)
    return (then if then <= now else then - dt.timedelta(days=1)).timestamp()


def _protocols(lines: Iterable[str]) -> Iterator[tuple[re.Match[str], list[str]]]:
    head: re.Match[str] | None = None
    details: list[str] = []
    for line in lines:
        if line[:1].isspace() or not line:
            details.append(line)
            continue
        if head is not None:
            yield head, details
        head, details = _PROTOCOL.fullmatch(line), []
    if head is not None:
        yield head, details


def _read_session(
    neighbor: Neighbor, head: re.Match[str], details: list[str], now: dt.datetime
) -> Reading:
    said = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in details)
    }
    counts = {"imported": 0, "filtered": 0, "exported": 0}
    for line in details:
        if line.lstrip().startswith("Routes:"):
            for number, what in _COUNTED.findall(line):
                counts[what] += int(number)
    session = BgpSession(
        name=neighbor.name,
        address=neighbor.address,
        asn=neighbor.asn,
        state=_state(said.get("BGP state", "")),
        since_s=read_since(head["since"], now),
        last_error=said.get("Last error", ""),
        **counts,
    )
    moves = tuple(line for line in details if line.lstrip().startswith("Import "))
    return Reading(session, moves)


def _state(text: str) -> SessionState:
    try:
        return SessionState(text.lower())
    except ValueError:  # `Down`, `Close`, `Passive`: nothing is under way
        return SessionState.DOWN

"""What a BIRD tells when it is asked again and again: it has no events of its own."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from onehop.model.network import Neighbor
from onehop.net.bird.control import BirdControl
from onehop.net.bird.reading import Reading, read_routes, read_sessions
from onehop.net.bird.speaker import Speaker, mute_neighbors, speaking_neighbors
from onehop.net.bird.state import BgpSession, OfferedRoute, SessionState
from onehop.net.bird.token import protocol_name

_TABLES: Final = ("onehop4", "onehop6")

_SAME_S: Final = 0.5
"""Two readings of one moment differ by less."""

_log = structlog.get_logger(__name__)


class Watch:
    """Reads sessions and routes; the routes only when BIRD has counted a change of them."""

    def __init__(self, control: BirdControl) -> None:
        self._control = control
        self._speaker: Speaker | None = None
        self._neighbors: Mapping[str, Neighbor] = {}
        self._seen: tuple[tuple[str, ...], ...] | None = None
        self._offered: tuple[OfferedRoute, ...] = ()
        self._sessions: dict[str, BgpSession] = {}
        self.version = ""

    async def look(
        self, speaker: Speaker
    ) -> tuple[tuple[BgpSession, ...], tuple[OfferedRoute, ...]]:
        """Return the sessions by name and the routes, sorted.

        Neighbours that BIRD was not told of are there as well, with the reason.

        Raises:
            TransientError: BIRD does not answer.
        """
        if speaker is not self._speaker:
            self._speaker = speaker
            self._neighbors = {protocol_name(n.name): n for n in speaking_neighbors(speaker)}
        neighbors = self._neighbors
        answer = await self._control.ask("show protocols all")
        self.version = answer.version
        now = dt.datetime.now(tz=dt.UTC).astimezone()
        readings = await asyncio.to_thread(read_sessions, answer.lines, neighbors, now)
        seen = tuple((each.session.name, *each.moves) for each in readings)
        if seen != self._seen:
            self._offered = await self._routes(neighbors)
            self._seen = seen
        sessions = tuple(map(self._steadied, _complete(speaker, readings)))
        self._tell(sessions)
        return sessions, self._offered

    async def _routes(self, neighbors: Mapping[str, Neighbor]) -> tuple[OfferedRoute, ...]:
        found: set[OfferedRoute] = set()
        for table in _TABLES:
            for option, is_accepted in (("", True), ("filtered ", False)):
                answer = await self._control.ask(f"show route all {option}table {table}")
                found |= await asyncio.to_thread(
                    read_routes, answer.lines, neighbors, is_accepted=is_accepted
                )
        return tuple(sorted(found))

    def _steadied(self, session: BgpSession) -> BgpSession:
        """Keep the time that was read first: BIRD works it out anew each time, to microseconds."""
        before = self._sessions.get(session.name)
        if before is None or before.since_s is None or session.since_s is None:
            return session
        if before.state is not session.state or abs(before.since_s - session.since_s) > _SAME_S:
            return session
        return msgspec.structs.replace(session, since_s=before.since_s)

    def _tell(self, sessions: tuple[BgpSession, ...]) -> None:
        """Log what has become of each session since the last look."""
        for session in sessions:
            before = self._sessions.get(session.name)
            was_up = before is not None and before.state is SessionState.ESTABLISHED
            facts = {"neighbor": session.name, "address": session.address, "asn": session.asn}
            if session.state is SessionState.ESTABLISHED and not was_up:
                _log.info("bgp_session_established", **facts)
            elif session.state is not SessionState.ESTABLISHED and was_up:
                _log.warning("bgp_session_lost", **facts, error=session.last_error)
        self._sessions = {session.name: session for session in sessions}


def _complete(speaker: Speaker, readings: tuple[Reading, ...]) -> tuple[BgpSession, ...]:
    """Return a session for every neighbour, whether BIRD knows it or not."""
    sessions = {each.session.name: each.session for each in readings}
    reasons = {mute.name: mute.message for mute in mute_neighbors(speaker)}
    for neighbor in speaker.network.neighbors if speaker.network.asn is not None else ():
        sessions.setdefault(
            neighbor.name,
            BgpSession(
                name=neighbor.name,
                address=neighbor.address,
                asn=neighbor.asn,
                last_error=reasons.get(neighbor.name, ""),
            ),
        )
    return tuple(sessions[name] for name in sorted(sessions))

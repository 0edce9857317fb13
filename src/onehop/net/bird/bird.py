"""BIRD, from a wanted `Speaker` to a known `BgpState`.

How it goes, and what becomes of the kernel's routes to Pods:

* *BIRD dies* (a crash, `kill -9`): the kernel keeps its routes. It is started again at once, with
  `-R`: it waits for its neighbours to tell their routes again (RFC 4724) before it removes from the
  kernel what is no longer told. No route is missing for a moment.
* *onehop ends*: VIPs are withdrawn first, since nobody will serve them; then BIRD is ended by
  `graceful restart`, and not by `down`, which would empty the kernel's table. So a restarted
  onehop loses nothing, and nodes keep what they were told of return ways meanwhile.
* *onehop is killed*: its BIRD goes along, and the kernel keeps the routes as in the first case.
* *a BIRD of somebody else's*: stays as it is, without our VIPs.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

import msgspec
import structlog

from onehop.base.errors import OnehopError, RejectedError, TransientError
from onehop.base.latest import Latest
from onehop.net.bird.control import BirdControl
from onehop.net.bird.daemon import BirdDaemon
from onehop.net.bird.place import AttachedBird, BirdPlace, OwnBird, prepare_directory, version_of
from onehop.net.bird.render import render_bird
from onehop.net.bird.speaker import TABLE, Speaker, mute_neighbors
from onehop.net.bird.state import BgpState
from onehop.net.bird.supply import AttachedSupply, OwnSupply
from onehop.net.bird.watch import Watch

_LOOK_S: Final = 1.0
_CHEAP_SESSIONS: Final = 250
"""A look at so many costs 30 ms of one processor."""
_RETRY_S: Final = 1.0
_WITHDRAW_S: Final = 10.0
_LEAVE_S: Final = 3.0
_HEARD_S: Final = 0.2
"""A withdrawal goes out within one turn of BIRD's event loop; nothing says when it has."""

_log = structlog.get_logger(__name__)


class Bird:
    """Brings a BIRD to the newest `Speaker`, and tells what it knows.

    Args:
        place: a child of ours, or a BIRD of somebody else's.
        changed: called with each new state, on the event loop; must not block.
        table: the kernel's table, of every speaker wanted.
    """

    def __init__(
        self,
        place: BirdPlace,
        *,
        changed: Callable[[BgpState], None] | None = None,
        table: int = TABLE,
    ) -> None:
        self._place = place
        self._changed = changed
        self._table = table
        self._control = BirdControl(place.socket)
        self._watch = Watch(self._control)
        self._wanted = Latest[Speaker]()
        self._done = Latest[int]()
        """The newest revision of `_wanted` that BIRD has followed or refused."""
        self._giving = asyncio.Lock()
        self._given: Speaker | None = None
        self._given_text = ""
        self._refusal = ""
        self._outage = ""
        self._look_now = asyncio.Event()
        self._daemon: BirdDaemon | None = None
        self._supply: OwnSupply | AttachedSupply
        match place:
            case OwnBird():
                self._daemon = BirdDaemon(place, self._control, table)
                self._supply = OwnSupply(place, self._control)
            case AttachedBird():
                self._supply = AttachedSupply(place, self._control)
        self.state = BgpState()
        """The newest state; also given to `changed`."""

    @property
    def pid(self) -> int | None:
        """The process id of a BIRD of our own, or None while there is none."""
        return self._daemon.pid if self._daemon is not None else None

    def want(self, speaker: Speaker) -> None:
        """Have BIRD follow a speaker; what was wanted before and not given yet is skipped.

        Want nothing before the cluster is known: what the speaker does not name is withdrawn. A
        BIRD of our own is not even started before.
        """
        is_included = isinstance(self._place, AttachedBird)
        self._wanted.put(
            msgspec.structs.replace(speaker, for_include=is_included, table=self._table)
        )

    async def withdraw_vips(self) -> None:
        """Have every neighbour told that our VIPs are gone; then clients may be let go.

        Raises:
            TransientError: BIRD did not follow; neighbours notice when the session ends.
        """
        speaker = self._wanted.peek()
        if speaker is None or not speaker.vips:
            return
        self._wanted.put(msgspec.structs.replace(speaker, vips=()))
        revision = self._wanted.revision
        try:
            async with asyncio.timeout(_WITHDRAW_S):
                while (self._done.peek() or 0) < revision:
                    await self._done.newer(self._done.revision)
                await asyncio.sleep(_HEARD_S)
        except TimeoutError as err:
            raise TransientError("BIRD was not to be had for the withdrawal of our VIPs") from err
        if self._given is not None and self._given.vips:
            raise TransientError(f"BIRD did not withdraw our VIPs: {self.state.fault}")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run for as long as the context lasts."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run())
            try:
                yield
            finally:
                task.cancel()

    async def run(self) -> None:
        """Do all of it until cancelled; then withdraw the VIPs and leave the routes in the kernel.

        Raises:
            ConfigError: there is no such BIRD, or the state directory cannot be used.
        """
        if isinstance(self._place, OwnBird):
            await asyncio.to_thread(prepare_directory, self._place)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(group))
                group.create_task(self._observe())
                try:
                    await asyncio.Event().wait()
                finally:
                    await self._leave()
        finally:
            self._note(msgspec.structs.replace(self.state, is_running=False))

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        """Give BIRD what is wanted, one configuration at a time."""
        revision, speaker = await self._wanted.newer(0)
        while True:
            try:
                await self._give(speaker, group)
            except RejectedError as err:
                # Not tried again: the same text would be refused again, and the old one is good.
                _log.error("bird_refused", error=str(err))
                self._refusal = str(err)
            except TransientError as err:
                self._outage = self._why(err)
                self._note(self.state)
                revision, speaker = await self._retried(revision, speaker)
                continue
            else:
                self._refusal = ""
            self._done.put(revision)
            self._note(self.state)
            self._look_now.set()
            revision, speaker = await self._wanted.newer(revision)

    async def _retried(self, revision: int, speaker: Speaker) -> tuple[int, Speaker]:
        """Wait a little, and return what is newest by then."""
        try:
            async with asyncio.timeout(_RETRY_S):
                return await self._wanted.newer(revision)
        except TimeoutError:
            return revision, speaker

    async def _give(self, speaker: Speaker, group: asyncio.TaskGroup) -> None:
        async with self._giving:
            speaker = msgspec.structs.replace(speaker, version=await self._version())
            text = await asyncio.to_thread(render_bird, speaker)
            if isinstance(self._supply, OwnSupply) and self._daemon and self._given is None:
                await self._supply.prepare(text)
                group.create_task(self._daemon.supervise())
            elif text != self._given_text:
                await self._supply.give(text)
            is_other = text != self._given_text
            self._given, self._given_text = speaker, text
        for mute in mute_neighbors(speaker) if is_other else ():
            _log.warning("bgp_neighbor_left_out", neighbor=mute.name, error=mute.message)
        if is_other:
            _log.info(
                "bird_configured",
                neighbors=len(speaker.network.neighbors),
                blocks=len(speaker.network.blocks),
                vips=len(speaker.vips),
            )

    async def _version(self) -> tuple[int, ...]:
        match self._place:
            case OwnBird():
                text = self.state.version or await version_of(self._place.binary)
            case AttachedBird():
                text = (await self._control.ask("show status")).version
        self._note(msgspec.structs.replace(self.state, version=text))
        return tuple(int(part) for part in text.split(".") if part.isdecimal())

    async def _observe(self) -> None:
        """Look once a second, with many sessions more rarely, and at once after a change."""
        while True:
            pause_s = _LOOK_S * (1 + len(self.state.sessions) // _CHEAP_SESSIONS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._look_now.wait()
            self._look_now.clear()
            if self._given is None:
                continue
            try:
                sessions, offered = await self._watch.look(self._given)
            except OnehopError as err:
                self._outage = self._why(err)
                self._note(msgspec.structs.replace(self.state, is_running=False))
                continue
            self._outage = ""
            self._note(
                msgspec.structs.replace(
                    self.state,
                    version=self._watch.version,
                    is_running=True,
                    sessions=sessions,
                    offered=offered,
                )
            )

    async def _leave(self) -> None:
        """Withdraw the VIPs if that has not been done, and end a BIRD of our own gracefully."""
        given = self._given
        if given is not None and given.vips:
            with contextlib.suppress(OnehopError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S), self._giving:
                    await self._supply.give(render_bird(msgspec.structs.replace(given, vips=())))
                    await asyncio.sleep(_HEARD_S)
        if self._daemon is not None:
            await self._daemon.leave()

    def _why(self, err: OnehopError) -> str:
        if self._daemon is None or self._daemon.pid is not None or not self._daemon.last_words:
            return str(err)
        return f"{err}; its last words: {self._daemon.last_words}"

    def _note(self, state: BgpState) -> None:
        """Keep a state, and tell of it if it is another one."""
        state = msgspec.structs.replace(
            state,
            fault=self._refusal or self._outage,
            is_current=self._done.peek() == self._wanted.revision and not self._refusal,
            restarts=self._daemon.restarts if self._daemon is not None else 0,
        )
        if state == self.state:
            return
        self.state = state
        if self._changed is not None:
            self._changed(state)

"""One wish, tended for as long as it is wished.

A round looks at everything anew (record, Secret, renewal window, trouble) and does the one thing
that is due. So it does not matter why a round was begun: at the start, by the clock, because
somebody said so, or after a crash.
"""

import asyncio
from typing import Final

import msgspec
import structlog

from onehop.acme.attempt import Attempt, Postponed
from onehop.acme.backoff import AFTER_OUTAGE, AFTER_REFUSAL, BackoffTimes
from onehop.acme.finding import Finding
from onehop.acme.issuer import CertificateWish
from onehop.acme.leaf import Leaf, read_leaf
from onehop.acme.port import Foreign, Held
from onehop.acme.protocol.client import AcmeClient
from onehop.acme.prover import Prover
from onehop.acme.record import Record
from onehop.acme.refusal import Refusal
from onehop.acme.renewal import ask_again_after, due_at, window_wanted
from onehop.acme.saved import Trouble, Window
from onehop.acme.session import Session
from onehop.acme.state import Phase, State
from onehop.acme.surroundings import Surroundings
from onehop.base.errors import AcmeUnavailable, ConfigError, RejectedError, TransientError

_log = structlog.get_logger(__name__)

_FOREIGN_S: Final = 600.0
"""A Secret that is somebody else's may be given up."""
_AFTER_CHECK: Final = BackoffTimes(10.0, 300.0)
"""A check costs nobody anything, and whoever mends a record waits for it."""


class Tending:
    """What is done for one wish.

    Args:
        record: outlives the tending: a changed wish gets another one, with the same record.
    """

    def __init__(
        self, wish: CertificateWish, session: Session, record: Record, around: Surroundings
    ) -> None:
        self.wish = wish
        self.record = record
        self._session = session
        self._around = around
        self._prover = Prover(session)
        self._wake = asyncio.Event()
        self._is_urgent = False
        self._leaf: Leaf | None = None
        self._window: Window | None = None
        self._findings: tuple[Finding, ...] = ()
        self.state = State(secret=wish.secret, hosts=wish.hosts, issuer=wish.issuer)

    def renew(self) -> None:
        """Renew now, and do not wait for our own backoff; the CA's pauses hold."""
        self._is_urgent = True
        self._wake.set()

    def look(self) -> None:
        """Look at everything anew, and do what is due by then."""
        self._wake.set()

    async def leave(self) -> None:
        """Take answers away: nobody wishes for this any more."""
        await self._prover.clean()

    async def run(self) -> None:
        """Do what is due, whenever it is due, until cancelled."""
        outages = 0
        while True:
            self._wake.clear()
            try:
                next_at = await self._round()
                outages = 0
            except TransientError as err:
                outages += 1
                wait_s = AFTER_OUTAGE.wait_s(outages, self._around.setting.dice())
                wait_s = max(wait_s, err.retry_after_s or 0.0)
                next_at = self._stuck(Phase.UNAVAILABLE, str(err), wait_s)
            except (RejectedError, ConfigError) as err:
                outages += 1
                wait_s = AFTER_REFUSAL.wait_s(outages, self._around.setting.dice())
                next_at = self._stuck(Phase.REFUSED, str(err), wait_s)
            await self._sleep(next_at)

    async def _round(self) -> float:
        """Do the one thing that is due, and return when the next one is."""
        wish, around = self.wish, self._around
        await self.record.load()
        holding = await around.vault.look(wish.secret)
        if isinstance(holding, Foreign):
            return self._foreign(holding)
        self._leaf = read_leaf(holding) if isinstance(holding, Held) else None
        order = self.record.saved.order
        if isinstance(holding, Held) and order is not None and order.key_pem == holding.key_pem:
            await self.record.issued(order.directory)  # we stopped just after it was stored
        if self._leaf is not None and self._fits(self._leaf):
            self._window = await self._ask_for_window(self._leaf)
            due = due_at(self._leaf, self._window)
            if self._now() < due and not self._is_urgent:
                ask_at = self._window.ask_again_at if self._window else due
                return self._tell(Phase.VALID, min(due, max(ask_at, self._now())))
        retry_at = self._retry_at()
        if self._now() < retry_at:
            trouble = self.record.saved.trouble
            return self._tell(Phase.REFUSED, retry_at, trouble.said if trouble else "")
        self._tell(Phase.WAITING, None)
        async with around.places:
            return await self._order()

    async def _order(self) -> float:
        """Get a certificate, unless something is in the way."""
        client = await self._session.client()
        if isinstance(client, Refusal):
            return self._stuck(
                Phase.REFUSED,
                f"issuer {self.wish.issuer} gives us no account: {client}",
                client.retry_after_s or 0.0,
                client.advice,
            )
        if not await self._is_clear(client):
            return self._tell(Phase.REFUSED, self._retry_at())
        attempt = Attempt(
            self.wish,
            record=self.record,
            session=self._session,
            client=client,
            prover=self._prover,
            around=self._around,
            replaces=self._replaces(client),
            report=self._progress,
        )
        outcome = await attempt.run()
        match outcome:
            case Leaf():
                self._is_urgent, self._leaf, self._window = False, outcome, None
                _log.info(
                    "certificate_issued",
                    object=str(self.wish.secret),
                    hosts=self.wish.hosts,
                    issuer=self.wish.issuer,
                    fingerprint=outcome.fingerprint,
                )
                self._tell(Phase.VALID, self._now())
                return self._now()
            case Foreign():
                return self._foreign(outcome)
            case Postponed():
                _log.warning(
                    "certificate_postponed",
                    object=str(self.wish.secret),
                    hosts=self.wish.hosts,
                    reason=outcome.said,
                )
                return self._tell(outcome.phase, outcome.until, outcome.said)

    def _fits(self, leaf: Leaf) -> bool:
        """Tell whether a certificate is what is wished, but for its age."""
        issuer = self._session.issuer
        return (
            leaf.hosts == self.wish.hosts
            and leaf.key_type == (self.wish.key_type or issuer.key_type)
            and self.record.saved.directory in {None, issuer.directory}
        )

    async def _ask_for_window(self, leaf: Leaf) -> Window | None:
        """Return when the CA would like the renewal, asking it if it is time to (RFC 9773)."""
        known = next(
            (
                window
                for window in (self._window, self.record.saved.window)
                if window is not None and window.certificate == leaf.renewal_id
            ),
            None,
        )
        if not window_wanted(leaf, known, now=self._now()):
            return known
        start, end, explanation, wait_s = None, None, "", ask_again_after(None)
        if known is not None:
            start, end, explanation = known.start, known.end, known.explanation
        try:
            client = await self._session.client()
            if isinstance(client, Refusal):
                return known
            if client.directory.renewal_info is not None:
                answer = await client.renewal_info(leaf.renewal_id)
                if isinstance(answer, Refusal):
                    wait_s = ask_again_after(answer.retry_after_s)
                else:
                    start = answer[0].suggested_window.start.timestamp()
                    end = answer[0].suggested_window.end.timestamp()
                    explanation, wait_s = answer[0].explanation_url, ask_again_after(answer[1])
        except (AcmeUnavailable, RejectedError) as err:
            # The certificate is fine meanwhile: what was known holds (section 4.3.3).
            wait_s = ask_again_after(err.retry_after_s if isinstance(err, TransientError) else None)
        window = Window(
            certificate=leaf.renewal_id,
            ask_again_at=self._now() + wait_s,
            start=start,
            end=end,
            explanation=explanation,
        )
        if start is not None:
            await self.record.told(window)
        return window

    def _replaces(self, client: AcmeClient) -> str | None:
        """Return what the order replaces, if the CA wants to know (RFC 9773, section 5)."""
        is_known = client.directory.renewal_info is not None and self._leaf is not None
        if not is_known or self.record.saved.directory != self._session.issuer.directory:
            return None
        return self._leaf.renewal_id or None if self._leaf else None

    async def _is_clear(self, client: AcmeClient) -> bool:
        """Check the hosts before a first order; what is found wrong is kept as trouble."""
        saved = self.record.saved
        preflight = self._around.preflight
        if preflight is None or self._leaf is not None or saved.order is not None:
            return True
        self._tell(Phase.CHECKING, None)
        identities = client.directory.meta.caa_identities
        self._findings = await preflight.check(
            self.wish, self._session.issuer, identities=identities, account=client.account
        )
        bad = [finding for finding in self._findings if finding.forbids]
        if not bad:
            return True
        before = saved.trouble
        failures = 1 + (before.failures if before and before.hosts == self.wish.hosts else 0)
        wait_s = _AFTER_CHECK.wait_s(failures, self._around.setting.dice())
        trouble = Trouble(
            hosts=self.wish.hosts,
            failures=failures,
            retry_at=self._now() + wait_s,
            said="; ".join(map(str, bad)),
            advice=bad[0].advice,
        )
        self._is_urgent = False
        await self.record.failed(trouble, order=None)
        return False

    def _retry_at(self) -> float:
        """Return before when nothing is to be tried, by what went wrong last."""
        trouble = self.record.saved.trouble
        if trouble is None or trouble.hosts != self.wish.hosts:
            return 0.0
        return trouble.not_before if self._is_urgent else trouble.retry_at

    def _foreign(self, holding: Foreign) -> float:
        self._leaf = None
        said = f"{self.wish.secret} is not ours and stays as it is: {holding.why}"
        return self._stuck(Phase.FOREIGN, said, _FOREIGN_S, "delete it, or name another Secret")

    def _stuck(self, phase: Phase, said: str, wait_s: float, advice: str = "") -> float:
        next_at = self._now() + wait_s
        self._tell(phase, next_at, said)
        if advice:
            self.state = msgspec.structs.replace(self.state, advice=advice)
        return next_at

    def _progress(self, phase: Phase) -> None:
        self._tell(phase, None)

    def _tell(self, phase: Phase, next_at: float | None, said: str = "") -> float:
        """Make a state of all that is known, and return when it ends."""
        saved, leaf = self.record.saved, self._leaf
        trouble = saved.trouble
        if trouble is not None and trouble.hosts != self.wish.hosts:
            trouble = None
        self.state = State(
            secret=self.wish.secret,
            hosts=self.wish.hosts,
            issuer=self.wish.issuer,
            phase=phase,
            next_at=next_at,
            last_error=said or (trouble.said if trouble else ""),
            advice=trouble.advice if trouble else "",
            failures=trouble.failures if trouble else 0,
            order_url=saved.order.url if saved.order else None,
            issued_not_before=leaf.not_before if leaf else None,
            issued_not_after=leaf.not_after if leaf else None,
            fingerprint=leaf.fingerprint if leaf else "",
            renews_at=due_at(leaf, self._window) if leaf else None,
            is_in_window=self._window is not None and self._window.start is not None,
            renewal_page=self._window.explanation if self._window else "",
            findings=self._findings,
        )
        self._around.report(self.state)
        return next_at or 0.0

    def _now(self) -> float:
        return self._around.setting.clock.now()

    async def _sleep(self, until: float) -> None:
        """Return at that time, or when woken."""
        async with asyncio.TaskGroup() as group:
            wait_s = max(0.0, until - self._now())
            nap = group.create_task(self._around.setting.clock.sleep(wait_s))
            nap.add_done_callback(lambda _: self._wake.set())
            await self._wake.wait()
            nap.cancel()

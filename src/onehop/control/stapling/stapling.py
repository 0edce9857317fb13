"""The task that keeps staples fresh.

Level-triggered: what is wanted, and what of it is due, is looked at twice a second. One responder
is asked one question at a time, and few responders at once, so that neither a slow one nor
thousands of certificates are felt anywhere.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from random import random

import structlog

from onehop.base.errors import OcspNonsense, OcspUnavailable
from onehop.compile.compiler import Compiler
from onehop.compile.staple import inquiry_of
from onehop.control.pipeline import Pipeline
from onehop.control.stapling.answer import Answer, Good, Revoked, read_answer
from onehop.control.stapling.book import Book, Held
from onehop.control.stapling.pace import REFUSED_AGAIN_S, Pace
from onehop.control.stapling.question import question_of
from onehop.control.stapling.responder import Responders
from onehop.control.stapling.trust import Trust
from onehop.model.certificate import Certificate
from onehop.model.model import Row
from onehop.model.staple import Inquiry, Staple

log = structlog.get_logger(__name__)


class Stapling:
    """Puts staples into the compiler, for as long as somebody wants them.

    Args:
        trust: says who may be asked.
        on_revoked: told of a certificate that its CA has revoked.
        clock: seconds since the epoch.
        dice: in [0, 1).
    """

    def __init__(  # noqa: PLR0913  its parts, and knobs by name
        self,
        compiler: Compiler,
        trust: Trust,
        *,
        on_revoked: Callable[[Inquiry], None] = lambda _: None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random,
    ) -> None:
        self._compiler = compiler
        self._trust = trust
        self._on_revoked = on_revoked
        self._pace = pace or Pace()
        self._clock = clock
        self._dice = dice
        self._book = Book()
        self._is_news = False

    def counts(self) -> Mapping[str, int]:
        """Return how many certificates that name a responder are good, revoked, missing."""
        return self._book.counts()

    def restore(self, rows: Iterable[Row]) -> None:
        """Take back what was shown before this process began, as far as it is valid still."""
        now = self._clock()
        for row in rows:
            if not isinstance(row, Certificate) or row.ocsp is None:
                continue
            inquiry = inquiry_of(row.chain_pem)
            if inquiry is None:
                continue
            try:
                answer = read_answer(question_of(inquiry), row.ocsp, now=now)
            except (OcspNonsense, OcspUnavailable):
                continue  # it has run out meanwhile
            self._take(self._book.hold(inquiry, now=now), answer)

    async def run(self, pipeline: Pipeline) -> None:
        """Work until cancelled, from when the first lists have been read and served."""
        await pipeline.is_served.wait()
        responders = Responders(self._trust.names)
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._look()
                    for origin in self._book.next_responders(now=self._clock()):
                        self._book.responder(origin).is_asked = True
                        tasks.create_task(self._ask_all(origin, responders))
                    if self._is_news:
                        self._is_news = False
                        pipeline.look_again()
                    await asyncio.sleep(self._pace.look_s)
        finally:
            await responders.close()

    def _look(self) -> None:
        now = self._clock()
        for inquiry in self._book.want(self._compiler.wanted_staples(), now=now):
            self._compiler.set_staple(inquiry, None)
        for held in self._book.stale(now=now):
            held.until = 0.0
            log.warning("staple_ran_out", url=held.inquiry.url)
            self._put(held, Staple(why="its last answer has run out, and no newer one has come"))

    async def _ask_all(self, origin: str, responders: Responders) -> None:
        """Ask one responder everything that is due, unless it has to rest."""
        responder = self._book.responder(origin)
        try:
            for held in self._book.due(origin, now=self._clock()):
                if responder.rests_until > self._clock():
                    break
                if self._book.has(held):
                    await self._ask(held, responders)
        finally:
            responder.is_asked = False

    async def _ask(self, held: Held, responders: Responders) -> None:
        now = self._clock()
        objection = await asyncio.to_thread(self._trust.objection, held.inquiry, now=now)
        if objection is not None:
            held.due = now + REFUSED_AGAIN_S
            log.info("responder_not_asked", url=held.inquiry.url, reason=objection)
            self._put(held, Staple(why=objection))
            return
        question = question_of(held.inquiry)
        responder = self._book.responder(held.origin)
        try:
            response = await responders.ask(question)
            answer = read_answer(question, response, now=self._clock())
        except OcspUnavailable as err:
            responder.failures += 1
            self._failed(held, responder.failures, err, err.retry_after_s)
            responder.rests_until = held.due
        except OcspNonsense as err:
            self._failed(held, held.failures + 1, err)
        else:
            responder.failures = 0
            self._take(held, answer)

    def _take(self, held: Held, answer: Answer) -> None:
        now = self._clock()
        held.failures = 0
        held.until = answer.until
        held.due = self._pace.fresh_at(answer.until, now=now, dice=self._dice())
        match answer:
            case Good(response=response):
                log.debug("staple_fetched", url=held.inquiry.url, valid_s=int(answer.until - now))
                self._put(held, Staple(response=response))
            case Revoked(at=at):
                if held.state != "revoked":
                    log.warning("certificate_revoked", url=held.inquiry.url, at=at)
                    self._on_revoked(held.inquiry)
                self._put(held, Staple(revoked_at=at))

    def _failed(
        self, held: Held, failures: int, err: Exception, asked_s: float | None = None
    ) -> None:
        """Note a failure; what was said before stands until it runs out."""
        now = self._clock()
        held.failures += 1
        held.due = self._pace.again_at(failures, now=now, dice=self._dice(), asked_s=asked_s)
        log.warning("staple_not_fetched", error=str(err), retry_in_s=round(held.due - now))
        if not held.until:
            self._put(held, Staple(why=str(err)))

    def _put(self, held: Held, staple: Staple) -> None:
        if self._book.has(held) and held.staple != staple:
            held.staple = staple
            self._compiler.set_staple(held.inquiry, staple)
            self._is_news = True

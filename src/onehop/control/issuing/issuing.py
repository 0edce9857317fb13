"""The ACME engine in the program: demands go in, Secrets and what owners shall know come out.

    compiler.demands() ──▶ wishes ──▶ acme.Engine ──▶ Vault: Secrets ──▶ the source, like any other
                                          └──▶ Responder: one Secret ──▶ all hosts of this balancer

The engine runs on the host that acts for all, and only there; what it knows is in its Vault, so
that the next one goes on where this one stopped.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from onehop.acme.engine import Engine
from onehop.acme.issuer import CertificateWish, Issuer, KeyType
from onehop.acme.preflight import Preflight
from onehop.acme.state import Phase, State
from onehop.base.errors import RejectedError, TransientError
from onehop.base.latest import Latest
from onehop.compile.compiler import Compiler
from onehop.compile.naming import form_of
from onehop.control.issuing.answers import SharedAnswers
from onehop.control.issuing.vault import SecretVault
from onehop.control.pipeline import Pipeline
from onehop.control.writeback import WriteBack
from onehop.model.certificate import CertificateDemand
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, Severity

_TOLD: Final = frozenset((Phase.LIMITED, Phase.REFUSED, Phase.UNAVAILABLE, Phase.FOREIGN))
"""What owners are told of: something is in the way."""
_SWEEP_S: Final = 24 * 3600.0

log = structlog.get_logger(__name__)


class Duty(Protocol):
    """Work that goes on beside the engine, on every host."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class AcmeIssuing:
    """Has certificates ordered while this host acts for all.

    Args:
        duties: run for as long as this does, whoever leads.
        preflight: looks at hosts before their first order; None does not.
    """

    def __init__(  # noqa: PLR0913  its parts, by name
        self,
        issuers: Iterable[Issuer],
        *,
        vault: SecretVault,
        responder: SharedAnswers,
        preflight: Preflight | None,
        duties: Iterable[Duty],
        compiler: Compiler,
        write_back: WriteBack,
    ) -> None:
        self._issuers = tuple(issuers)
        self._vault = vault
        self._responder = responder
        self._preflight = preflight
        self._duties = tuple(duties)
        self._compiler = compiler
        self._write_back = write_back
        self._engine: Engine | None = None
        self._demands: Mapping[ObjectRef, CertificateDemand] = {}
        self._wished_by: Mapping[ObjectRef, list[ObjectRef]] = {}
        self._states: dict[ObjectRef, State] = {}
        self._wished = Latest[Mapping[ObjectRef, CertificateDemand]]()

    def states(self) -> Mapping[ObjectRef, State]:
        """Return how each certificate is doing; only the host that acts for all knows."""
        return self._engine.states() if self._engine is not None else {}

    def renew(self, secret: ObjectRef) -> bool:
        """Renew a certificate now, or try again now; False if it is not ours to."""
        return self._engine is not None and self._engine.renew(secret)

    def seen(self, secret: ObjectRef) -> None:
        """Take note that somebody has changed a Secret, or taken it away."""
        if self._engine is not None and secret in self._demands:
            self._engine.look(secret)

    def problems(self) -> tuple[Problem, ...]:
        """Return what is in the way of certificates, at the objects that ask for them."""
        return tuple(problem for secret in self._states for problem in self._problems_with(secret))

    def problems_of(self, ref: ObjectRef) -> tuple[Problem, ...]:
        """Return what is in the way of the certificates that an object asks for."""
        secrets = (secret for secret in self._wished_by.get(ref, ()) if secret in self._states)
        problems = (problem for secret in secrets for problem in self._problems_with(secret))
        return tuple(problem for problem in problems if problem.subject == ref)

    async def run(self, pipeline: Pipeline) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for duty in self._duties:
                tasks.create_task(duty.run())
            tasks.create_task(self._follow_demands(pipeline))
            tasks.create_task(self._follow_leadership(pipeline))

    async def _follow_demands(self, pipeline: Pipeline) -> None:
        await pipeline.is_served.wait()  # half a list would be half of the demands
        seen = 0
        while True:
            self._take_in(self._compiler.demands())
            seen, _ = await pipeline.demands.newer(seen)

    def _take_in(self, demands: Iterable[CertificateDemand]) -> None:
        self._demands = {demand.secret: demand for demand in demands}
        wished_by: defaultdict[ObjectRef, list[ObjectRef]] = defaultdict(list)
        for demand in self._demands.values():
            for wisher in demand.wishers:
                wished_by[wisher].append(demand.secret)
        self._wished_by = wished_by
        for secret in self._states.keys() - self._demands.keys():
            del self._states[secret]
        self._wished.put(self._demands)

    async def _follow_leadership(self, pipeline: Pipeline) -> None:
        await pipeline.is_served.wait()
        seen = 0
        while True:
            seen, leads = await self._write_back.leads.newer(seen)
            if leads:
                seen = await self._lead(seen)

    async def _lead(self, seen: int) -> int:
        """Run an engine until this host leads no more; return the revision that says so."""
        self._responder.take_over()
        engine = self._engine = Engine(
            self._issuers,
            vault=self._vault,
            responder=self._responder,
            preflight=self._preflight,
            report=self._report,
        )
        leads = True
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(engine.run()),
                    tasks.create_task(self._pass_on_wishes(engine)),
                    tasks.create_task(self._sweep()),
                ]
                while leads:
                    seen, leads = await self._write_back.leads.newer(seen)
                for task in running:
                    task.cancel()
        finally:
            self._engine = None
            self._states.clear()
        return seen

    async def _pass_on_wishes(self, engine: Engine) -> None:
        seen = 0
        while True:
            seen, demands = await self._wished.newer(seen)
            engine.wish(map(_wish, demands.values()))

    async def _sweep(self) -> None:
        """Delete what nobody needs any more, now and then."""
        await self._wished.newer(0)
        while True:
            try:
                await self._vault.sweep(frozenset(self._demands))
                await self._responder.sweep()
            except (TransientError, RejectedError) as err:
                log.warning("acme_secrets_not_swept", error=str(err))
            await asyncio.sleep(_SWEEP_S)

    def _report(self, state: State) -> None:
        """Take in how a certificate is doing, and tell its owners if that is news to them."""
        secret = state.secret
        before, self._states[secret] = self._states.get(secret), state
        demand = self._demands.get(secret)
        if demand is None:
            return
        if state.phase is Phase.VALID and before is not None and before.phase is Phase.ISSUING:
            for wisher in demand.wishers:
                self._write_back.tell(wisher, "CertificateIssued", _issued(state))
        was = _in_the_way(before) if before is not None else ""
        if _in_the_way(state) != was:
            self._write_back.reported(frozenset(demand.wishers))

    def _problems_with(self, secret: ObjectRef) -> Iterable[Problem]:
        state, demand = self._states[secret], self._demands.get(secret)
        said = _in_the_way(state)
        if demand is None or not said:
            return
        is_served = state.issued_not_after is not None
        for wisher in demand.wishers:
            yield Problem(
                subject=wisher,
                field=form_of(wisher).entries,
                reason=Reason.CERTIFICATE_NOT_ISSUED,
                message=f"{secret}: {said}",
                severity=Severity.WARNING if is_served else Severity.ERROR,
            )


def _wish(demand: CertificateDemand) -> CertificateWish:
    return CertificateWish(
        secret=demand.secret,
        hosts=demand.hosts,
        issuer=demand.issuer,
        key_type=KeyType(demand.key_type) if demand.key_type else None,
    )


def _in_the_way(state: State) -> str:
    """Return what is in the way of a certificate, in words that stay the same while it is."""
    if state.phase not in _TOLD or not state.last_error:
        return ""
    return f"{state.last_error}; {state.advice}" if state.advice else state.last_error


def _issued(state: State) -> str:
    until = datetime.fromtimestamp(state.issued_not_after or 0, UTC).date().isoformat()
    hosts = ", ".join(state.hosts)
    return f"{state.secret} holds a certificate of {state.issuer} for {hosts}, until {until}"

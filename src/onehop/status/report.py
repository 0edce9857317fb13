"""What `control` knows about one object when the data plane has answered."""

from typing import assert_never

import msgspec

from onehop.cluster.gateway_verdict import (
    GatewayApiVerdict,
    GatewayClassVerdict,
    GatewayVerdict,
    ListenerSetVerdict,
    ParentsVerdict,
)
from onehop.compile.verdict import IngressVerdict, ServiceRelease, ServiceVerdict, Verdict
from onehop.model.ident import ListenerId
from onehop.model.problem import Problem, Reason, Severity


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what an object's owner shall read; the default says nothing.

    Attributes:
        verdict: None for an object that is not ours but has problems, as a Secret may.
        uid: of the very object that was compiled; another of the same name is left alone.
        generation: of that object; 0 for kinds that count none (a Service does not).
        problems: all of them, in any order; a row the data plane refused is one
            (`DataPlaneRefused`), made by whoever talks to the data plane.
        served: every listener of the object that the data plane has acknowledged, those that
            are about to go included.
        refused: listeners whose present form the data plane would not take.
        is_acknowledged: the data plane has answered, by yes or no, for all that was sent of it.
        has_endpoints: whether anything is behind it that could answer.
    """

    verdict: Verdict | GatewayApiVerdict | None = None
    uid: str = ""
    generation: int = 0
    problems: tuple[Problem, ...] = ()
    served: frozenset[ListenerId] = frozenset()
    refused: frozenset[ListenerId] = frozenset()
    is_acknowledged: bool = True
    has_endpoints: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say about the object."""
        return self.verdict is None and not self.problems

    @property
    def is_pending(self) -> bool:
        """Whether something is under way, so that a better report will follow soon.

        A Service without listeners and without a fault waits for its finalizer to be seen.
        """
        match self.verdict:
            case ServiceVerdict(listeners=listeners):
                unanswered = set(listeners) - self.served - self.refused
                is_waiting = not listeners and not self.faults
                return bool(unanswered) or is_waiting or not self.is_acknowledged
            case ServiceRelease():
                return bool(self.served)
            case GatewayVerdict(listeners=of_gateway) | ListenerSetVerdict(listeners=of_gateway):
                needs = {need for listener in of_gateway for need in listener.needs}
                return bool(needs - self.served - self.refused) or not self.is_acknowledged
            case IngressVerdict():
                return not self.is_acknowledged
            case GatewayClassVerdict() | ParentsVerdict() | None:
                return False
            case _:
                assert_never(self.verdict)

    @property
    def faults(self) -> tuple[Problem, ...]:
        """What the owner must mend before all of the object is served, sorted."""
        return tuple(
            problem
            for problem in self.sorted_problems
            if problem.severity is Severity.ERROR
            and problem.reason is not Reason.DATA_PLANE_REFUSED
        )

    @property
    def refusals(self) -> tuple[Problem, ...]:
        """What the data plane would not take, sorted."""
        return tuple(
            problem
            for problem in self.sorted_problems
            if problem.reason is Reason.DATA_PLANE_REFUSED
        )

    @property
    def sorted_problems(self) -> tuple[Problem, ...]:
        """The problems, errors first: their order in a text must not depend on who found them."""
        by_weight = sorted(
            set(self.problems), key=lambda problem: (problem.severity is Severity.WARNING, problem)
        )
        return tuple(by_weight)

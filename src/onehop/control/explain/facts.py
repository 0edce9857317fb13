"""What an explanation is made of."""

from collections.abc import Callable, Mapping

import msgspec

from onehop.acme.state import State
from onehop.compile.compiler import Compiler
from onehop.control.config import Config
from onehop.control.served import Served
from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem


def _nowhere(_: object) -> bool:
    return False


def _nobody(*_: object) -> None:
    return None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known at one moment.

    Attributes:
        served: what the data plane was given, or would be.
        is_live: whether there is a data plane.
        is_bound: whether an address is on an interface of this host.
        announced_to: by address, the BGP neighbours that hear it from us.
        problems: those that the compiler does not know: of bindings, of the data plane.
        address_towards: the source address that this host uses towards another one.
        states: how certificates are doing that are ordered by this host.
        now: seconds since the epoch; None leaves unjudged whether certificates have ended.
        age_of: for how many seconds the way to an address of an area has been what it is.
    """

    config: Config
    compiler: Compiler
    served: Served
    is_live: bool
    is_bound: Callable[[IpAddr], bool] = _nowhere
    announced_to: Mapping[IpAddr, tuple[str, ...]] = {}
    problems: tuple[Problem, ...] = ()
    states: Mapping[ObjectRef, State] = {}
    now: float | None = None
    address_towards: Callable[[IpAddr], IpAddr | None] = _nobody
    age_of: Callable[[Cidr, IpAddr], float | None] = _nobody

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return everything that is wrong with one object."""
        others = (problem for problem in self.problems if problem.subject == subject)
        return tuple(sorted({*self.compiler.problems_of(subject), *others}))

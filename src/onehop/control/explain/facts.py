"""What an explanation is made of."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from onehop.acme.state import State
from onehop.compile.compiler import Compiler
from onehop.control.config import Config
from onehop.control.served import Served
from onehop.model.address import Cidr, IpAddr
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.listener import ForwardHttp, Listener
from onehop.model.pool import Pool
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
        in_kernel: whether a listener is served by the kernel, without a proxy.
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
    in_kernel: Callable[[Listener], bool] = _nowhere
    address_towards: Callable[[IpAddr], IpAddr | None] = _nobody
    age_of: Callable[[Cidr, IpAddr], float | None] = _nobody

    def problems_of(self, subject: ObjectRef) -> tuple[Problem, ...]:
        """Return everything that is wrong with one object."""
        others = (problem for problem in self.problems if problem.subject == subject)
        return tuple(sorted({*self.compiler.problems_of(subject), *others}))

    def is_in_kernel(self, pool: Pool) -> bool:
        """Tell whether the kernel sends to a pool, without a proxy."""
        return any(map(self.in_kernel, self._listeners_to(pool)))

    def _listeners_to(self, pool: Pool) -> Iterator[Listener]:
        for name in self.served.listeners_of(pool.service):
            listener = self.served.listener(name)
            if listener is not None and _pool_of(listener) == pool.id:
                yield listener


def _pool_of(listener: Listener) -> PoolId | None:
    return None if isinstance(listener.handler, ForwardHttp) else listener.handler.pool

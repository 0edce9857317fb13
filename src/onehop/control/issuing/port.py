"""What the program sees of whoever has certificates ordered, be there one or not."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from onehop.acme.state import State
from onehop.control.pipeline import Pipeline
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem


class Issuing(Protocol):
    """Who orders certificates; only one host of the load balancer does so at a time."""

    def states(self) -> Mapping[ObjectRef, State]:
        """Return how each wish is doing, by Secret; nothing where another host leads."""
        ...

    def renew(self, secret: ObjectRef) -> bool:
        """Get a new certificate now; False if nobody here sees to this Secret."""
        ...

    def problems(self) -> tuple[Problem, ...]:
        """Return what is in the way of certificates, at the objects that ask for them."""
        ...

    async def run(self, pipeline: Pipeline) -> None:
        """Work until cancelled."""
        ...


class NoIssuing:
    """Where no issuers are configured: nothing is ordered, here or elsewhere."""

    def states(self) -> Mapping[ObjectRef, State]:
        """Return nothing."""
        return {}

    def renew(self, secret: ObjectRef) -> bool:  # noqa: ARG002  it does nothing for any
        """Pass over it."""
        return False

    def problems(self) -> tuple[Problem, ...]:
        """Return nothing."""
        return ()

    async def run(self, pipeline: Pipeline) -> None:  # noqa: ARG002  nothing is ordered
        """Wait."""
        await asyncio.Event().wait()

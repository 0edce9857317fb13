"""Proof that what Pods answer to transparent clients comes back through this host.

Which client networks matter follows from the Services that ask for it. Each is tried with Pods that
stand behind such a Service, again and again: routes of nodes change without a word to us.
"""

import asyncio
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.compile.compiler import Compiler
from onehop.control.pipeline import Pipeline
from onehop.model.address import Cidr
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason
from onehop.net.returnpath import return_path
from onehop.net.transparent import Transparency

LOOK_S: Final = 0.5
"""How often it is looked at whether a Service wants to know of another network."""
PROVEN_PAUSE_S: Final = 10.0
UNPROVEN_PAUSE_S: Final = 2.0

log = structlog.get_logger(__name__)


class Returns:
    """Tries the wanted networks in turn, and keeps the kernel ready for it while there are any."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._transparency = Transparency()
        self._works: dict[Cidr, bool | None] = {}
        self._due: dict[Cidr, float] = {}

    def problems(self) -> tuple[Problem, ...]:
        """Return why transparent connections cannot be made at all, if so."""
        trouble = self._transparency.trouble if self._due else None
        if trouble is None:
            return ()
        subject = ObjectRef("Config", "", "transparent")
        return (Problem(subject=subject, reason=Reason.UNSUPPORTED, message=trouble),)

    async def run(self, pipeline: Pipeline) -> None:
        """Work until cancelled; the configuration names client networks.

        Raises:
            ConfigError: this process may not do it, or there is no `nft`.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._transparency.run())
            while True:
                await self._look(pipeline)
                await asyncio.sleep(LOOK_S)

    async def _look(self, pipeline: Pipeline) -> None:
        wanted = self._compiler.wanted_return_paths()
        self._transparency.want(wanted)
        for clients in self._due.keys() - wanted:
            del self._due[clients]
            self._works.pop(clients, None)
            self._compiler.set_return_path(clients, works=None)
        now = asyncio.get_running_loop().time()
        for clients in wanted:
            if self._transparency.is_in_place and self._due.setdefault(clients, now) <= now:
                await self._try(clients, pipeline)

    async def _try(self, clients: Cidr, pipeline: Pipeline) -> None:
        pods = self._compiler.return_path_trials(clients)
        try:
            works = await return_path(clients, pods)
        except TransientError as err:
            log.warning("return_path_not_tried", clients=clients, error=str(err))
            works = self._works.get(clients)
        pause_s = PROVEN_PAUSE_S if works else UNPROVEN_PAUSE_S
        self._due[clients] = asyncio.get_running_loop().time() + pause_s
        if works is None:
            works = self._works.get(clients)  # nobody there to ask now: what was proven stands
        if works != self._works.get(clients):
            log.info("return_path_changed", clients=clients, works=works)
            self._works[clients] = works
            self._compiler.set_return_path(clients, works=works)
            pipeline.look_again()

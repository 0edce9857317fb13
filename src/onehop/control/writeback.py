"""Writing back to the cluster, where there is one and while we are the leader."""

import asyncio
from typing import Self

from onehop.control.config import Config
from onehop.control.pipeline import Pipeline
from onehop.control.sources import Origin


class WriteBack:
    """Nothing to write to: a folder of manifests has no status."""

    @classmethod
    def for_origin(cls, config: Config, origin: Origin, pipeline: Pipeline) -> Self:
        """Return what writes back to an origin."""
        return cls()

    def is_leader(self) -> bool:
        """Tell whether this process is the one that writes."""
        return True

    async def run(self) -> None:
        """Write until cancelled."""
        await asyncio.Event().wait()

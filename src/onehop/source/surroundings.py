"""What the reflectors of one source share."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from onehop.kube import Client
from onehop.source.identity import ClusterIdentity
from onehop.source.patience import DoubtLimits
from onehop.source.slim import Slimmer
from onehop.source.source import Sink
from onehop.source.trouble import Troubles


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the reflectors of one source share.

    Attributes:
        clock: seconds that only grow.
        sleep: waits for so many of them.
        random: spreads hosts out in time and draws samples; nothing secret depends on it.
        lists: how many lists may be under way at the same time.
    """

    client: Client
    sink: Sink
    identity: ClusterIdentity
    troubles: Troubles
    slimmer: Slimmer
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Random
    lists: asyncio.Semaphore
    limits: DoubtLimits

"""What surrounds the engine, handed around as one."""

from collections.abc import Callable
from typing import NamedTuple

from onehop.acme.clock import Clock
from onehop.acme.port import Responder


class Setting(NamedTuple):
    """Time, chance, the load balancer, and patience.

    Attributes:
        dice: a number in [0, 1), uniformly distributed.
        patience_s: waits that are longer give their place to another certificate.
    """

    clock: Clock
    dice: Callable[[], float]
    responder: Responder
    patience_s: float = 30.0

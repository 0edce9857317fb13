"""Moving a live VIP from one data plane to another.

Enters: another Driver, not yet running. Leaves: what it refused. Connections that come meanwhile
are taken by one of the two; none is turned away. `control` imports it.
"""

from onehop.driver.moving.driver import MovingDriver
from onehop.driver.moving.succession import Moved, MoveRefused, Phase

__all__ = ["MoveRefused", "Moved", "MovingDriver", "Phase"]

"""A small data centre in network namespaces: clients, a router, load balancers, nodes, Pods.

Enters: a `Spec`. Leaves: a `World` that is up, and what can be done with it: `fault` breaks and
mends, `life` kills and starts, `growth` adds, removes and drains. `cli` and tests import it; it
knows onehop only as a program that it starts.
"""

from onehop.lab.world.spec import Spec, Underlay
from onehop.lab.world.world import World, down

__all__ = ["Spec", "Underlay", "World", "down"]

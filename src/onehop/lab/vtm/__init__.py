"""A strict imitation of a vTM's REST API, to develop and to test against. It carries no traffic.

Enters: HTTP, and a `Behaviour`: each thing that is not known of a real unit is a switch. Leaves:
answers as public descriptions of the API have them. Tests and `onehop lab` may import it.
"""

from onehop.lab.vtm.behaviour import Behaviour, Faults
from onehop.lab.vtm.cluster import VtmCluster
from onehop.lab.vtm.server import serve_vtm

__all__ = ["Behaviour", "Faults", "VtmCluster", "serve_vtm"]

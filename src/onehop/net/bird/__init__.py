"""BGP, spoken by BIRD 2 or 3: it learns where Pods are, and tells routers where VIPs are.

Enters: a `Speaker` (the wanted sessions, blocks and VIPs). Leaves: BIRD's configuration, its
routes in the kernel's table, a `BgpState`, the findings of an `audit`. `control` imports it.
"""

from onehop.net.bird.audit import Finding, FindingKind, audit
from onehop.net.bird.bird import Bird
from onehop.net.bird.leftover import leftover_routes, remove_leftover_routes
from onehop.net.bird.place import AttachedBird, BirdPlace, OwnBird
from onehop.net.bird.render import render_bird
from onehop.net.bird.speaker import MuteNeighbor, Speaker, mute_neighbors
from onehop.net.bird.state import BgpSession, BgpState, OfferedRoute, SessionState

__all__ = [
    "AttachedBird",
    "BgpSession",
    "BgpState",
    "Bird",
    "BirdPlace",
    "Finding",
    "FindingKind",
    "MuteNeighbor",
    "OfferedRoute",
    "OwnBird",
    "SessionState",
    "Speaker",
    "audit",
    "leftover_routes",
    "mute_neighbors",
    "remove_leftover_routes",
    "render_bird",
]

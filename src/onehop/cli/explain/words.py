"""Words and colours that the tree and the drawing share."""

from collections.abc import Iterable
from typing import Final

from onehop.control.explain.explanation import MemberStep, PodStep, PoolStep, Traffic
from onehop.model.endpoint import Path

TWO_TIERS_HOPS: Final = 4
"""What a second tier inside the cluster would take (design of the ladder, way 1)."""

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400


def age_text(seconds: float) -> str:
    """Return a duration as people say it: `40 s`, `12 min`, `3 h`, `2 d`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} d"


def percent_text(percent: float) -> str:
    """Return `40 %`, and what is less than one as `0.4 %`."""
    return f"{percent:.0f} %" if percent >= 1 or percent == 0 else f"{percent:.1f} %"


def count_text(count: int, word: str) -> str:
    """Return `1 Pod`, `2 Pods`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def hops_text(hops: int, rung: Path) -> str:
    """Return `1 hop`, or `up to 3 hops` where kube-proxy may be near enough by chance."""
    return f"up to {hops} hops" if rung is not Path.POD and hops > 2 else count_text(hops, "hop")  # noqa: PLR2004  one behind the node


def hops_of(pool: PoolStep) -> str:
    """Return the hops of a pool now: `1`, or `1 to 3`; `none` where there is nobody to send to."""
    if not pool.hops_most:
        return "none"
    if pool.hops_least == pool.hops_most:
        return str(pool.hops_most)
    return f"{pool.hops_least} to {pool.hops_most}"


def traffic_of(members: Iterable[MemberStep]) -> Traffic | None:
    """Return what was counted for some members together, or None if nothing was."""
    counted = [member.traffic for member in members if member.traffic is not None]
    if not counted:
        return None
    return Traffic(
        requests=sum(item.requests for item in counted),
        failed=sum(item.failed for item in counted),
        active=sum(item.active for item in counted),
    )


def pods_by_node(pods: Iterable[PodStep]) -> dict[str | None, list[PodStep]]:
    """Return Pods by their node, in the order in which they come."""
    found: dict[str | None, list[PodStep]] = {}
    for pod in pods:
        found.setdefault(pod.node, []).append(pod)
    return found

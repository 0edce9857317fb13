"""What the drawing shows of a pool: a row for each node on a rung, few enough to be read."""

from collections.abc import Iterator
from typing import Final

import msgspec

from onehop.cli.explain.words import count_text, pods_by_node, traffic_of
from onehop.control.explain.explanation import MemberStep, PodStep, PoolStep
from onehop.control.explain.translation import node_text, socket_text
from onehop.model.endpoint import Path

NODES: Final = 4
"""Rows of one rung; more nodes than that share a last row."""
PODS: Final = 4
"""Pods of one row; more share the last place."""

_MOST_HOPS: Final[dict[Path | None, int]] = {Path.NODE: 3}
"""Of Pods whose own node is not dialled: other nodes pass on to theirs."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A node, or several, as one box.

    Attributes:
        rung: None for Pods that nothing reaches.
        note: what proves the way, or why there is none; the latter is a warning.
        dials: the NodePort, or None where Pods are dialled, or the node itself never is.
        chips: the Pods, as they are written.
        shares: of each chip on the rung `pod`, in percent; of the row on the others.
        any_pod: kube-proxy may send on to another node.
    """

    rung: Path | None
    name: str
    note: str
    dials: str | None
    chips: tuple[str, ...]
    shares: tuple[float, ...]
    hops: int
    sees: str
    any_pod: bool
    is_warning: bool = False

    @property
    def share(self) -> float:
        """The share of the whole row."""
        return sum(self.shares)


def rows_of(pool: PoolStep) -> Iterator[Row]:
    """Yield the rows of a pool, those of the highest rung first."""
    shares = _shares(pool)
    for rung in (*Path, None):
        by_node = pods_by_node(pod for pod in pool.pods if pod.rung is rung)
        members: dict[str | None, list[MemberStep]] = {}
        for member in pool.members:
            if member.rung is rung:
                members.setdefault(member.node, []).append(member)
        names = list(dict.fromkeys((*by_node, *members)))
        shown = names if len(names) <= NODES else names[: NODES - 1]
        for name in shown:
            yield _row(rung, node_text(name), by_node.get(name, []), members.get(name, []), shares)
        rest = names[len(shown) :]
        if rest:
            pods = [pod for name in rest for pod in by_node.get(name, ())]
            others = [member for name in rest for member in members.get(name, ())]
            yield _together(rung, len(rest), pods, others, shares)


def is_counted(pool: PoolStep) -> bool:
    """Tell whether shares are those of real traffic."""
    traffic = traffic_of(pool.members)
    return traffic is not None and traffic.requests > 0


def _shares(pool: PoolStep) -> dict[tuple[str, int], float]:
    """Return each member's share: of what was counted, else by weight."""
    traffic = traffic_of(pool.members)
    total = traffic.requests if traffic is not None else 0
    return {
        (member.address, member.port): (
            100 * member.traffic.requests / total
            if total and member.traffic is not None
            else member.share_percent
        )
        for member in pool.members
    }


def _row(
    rung: Path | None,
    name: str,
    pods: list[PodStep],
    members: list[MemberStep],
    shares: dict[tuple[str, int], float],
) -> Row:
    direct = rung is Path.POD
    shown = pods if len(pods) <= PODS else pods[: PODS - 1]
    rest = pods[len(shown) :]
    chips = [socket_text(pod.address, pod.port) for pod in shown]
    parts = [shares.get((pod.address, pod.port), 0.0) for pod in shown]
    if rest:
        chips.append(f"{len(rest)} more Pods")
        parts.append(sum(shares.get((pod.address, pod.port), 0.0) for pod in rest))
    own = sum(shares.get((member.address, member.port), 0.0) for member in members)
    dials = [socket_text(member.address, member.port) for member in members]
    return Row(
        rung=rung,
        name=name,
        note=_note(pods, members),
        dials=dials[0] if dials and not direct else None,
        chips=tuple(chips),
        shares=tuple(parts) if direct else (own,),
        hops=max((member.hops for member in members), default=_MOST_HOPS.get(rung, 0)),
        sees=_sees(members),
        any_pod=any(member.any_pod for member in members),
        is_warning=any(pod.keeps_down is not None for pod in pods),
    )


def _together(
    rung: Path | None,
    count: int,
    pods: list[PodStep],
    members: list[MemberStep],
    shares: dict[tuple[str, int], float],
) -> Row:
    own = sum(shares.get((member.address, member.port), 0.0) for member in members)
    is_low = rung in (Path.LOCAL, Path.NODE) and bool(members)
    return Row(
        rung=rung,
        name=f"{count} more nodes",
        note="",
        dials=count_text(len(members), "NodePort") if is_low else None,
        chips=(count_text(len(pods), "Pod"),) if pods else (),
        shares=(own,),
        hops=max((member.hops for member in members), default=0),
        sees=_sees(members),
        any_pod=any(member.any_pod for member in members),
    )


def _note(pods: list[PodStep], members: list[MemberStep]) -> str:
    reasons = dict.fromkeys(pod.keeps_down for pod in pods if pod.keeps_down is not None)
    if reasons:
        return "; ".join(reasons)
    way = pods[0].way if pods else None
    if way is None:
        return "stands in for Pods of other nodes" if members else ""
    if way.route is None:
        return way.says
    return f"{way.route} {', '.join(way.hops)} ({way.origin})"


def _sees(members: list[MemberStep]) -> str:
    whose = {member.source.whose for member in members}
    words = {"client": "the client", "onehop": "onehop's host", "node": "the node"}
    return f"Pod sees {words[whose.pop()]}" if len(whose) == 1 else ""

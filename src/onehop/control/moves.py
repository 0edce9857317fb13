"""Pods that changed rungs: each move is counted, logged, and told to the Service's owner.

That Pods went down stands as a Problem while it lasts, and so as an event with its cause; that they
are back up is an event of its own.
"""

from collections.abc import Iterable

import msgspec
import structlog

from onehop.model.endpoint import Path, PoolEndpoints
from onehop.model.ident import ObjectRef
from onehop.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class Move(msgspec.Struct, frozen=True, gc=False):
    """The Pods that one pool has on one node stand on another rung now."""

    service: ObjectRef
    node: str
    to: Path


def moves_between(
    service: ObjectRef, before: PoolEndpoints, after: PoolEndpoints
) -> tuple[Move, ...]:
    """Return which nodes' Pods went down, and which are all back up.

    A node that is new to the pool has not moved, on whatever rung it stands.
    """
    was, now = _low(before), _low(after)
    if was == now:
        return ()
    had, has = _direct(before), _direct(after)
    down = (Move(service, node, to) for node, to in now.items() if node in had and node not in was)
    up = (Move(service, node, Path.POD) for node in was if node in has and node not in now)
    return (*down, *up)


def tell_moves(moves: Iterable[Move], metrics: Metrics, *, why: str) -> None:
    """Count the moves, and log them: a line for each node, however many pools it is in."""
    pools: dict[tuple[str, Path], int] = {}
    for move in moves:
        pools[move.node, move.to] = pools.get((move.node, move.to), 0) + 1
    for (node, to), count in pools.items():
        metrics.path_moves.labels(str(to)).inc(count)
        if to is Path.POD:
            log.info("path_moved", node=node, to=str(to), pools=count)
        else:
            log.warning("path_moved", node=node, to=str(to), pools=count, why=why)


def back_up(moves: Iterable[Move]) -> dict[ObjectRef, str]:
    """Return, by Service, the nodes whose Pods are reached directly again."""
    nodes: dict[ObjectRef, list[str]] = {}
    for move in moves:
        if move.to is Path.POD:
            nodes.setdefault(move.service, []).append(move.node)
    return {service: ", ".join(sorted(set(names))) for service, names in nodes.items()}


def _low(members: PoolEndpoints) -> dict[str, Path]:
    return {e.node: e.path for e in members.endpoints if e.path is not Path.POD and e.node}


def _direct(members: PoolEndpoints) -> set[str]:
    return {e.node for e in members.endpoints if e.path is Path.POD and e.node}

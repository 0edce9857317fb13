"""The whole way: from what somebody typed to an answer."""

from typing import Final, assert_never

from onehop.control.explain.advice import advise
from onehop.control.explain.explanation import (
    Answer,
    Explanation,
    OutcomeKind,
    PoolStep,
    Refusal,
    Road,
    Target,
    TargetKind,
)
from onehop.control.explain.facts import Facts
from onehop.control.explain.pool import pool_step
from onehop.control.explain.request import roads_of_request
from onehop.control.explain.road import roads_of_ingress, roads_of_route, roads_of_service
from onehop.control.explain.target import Meant, ObjectTarget, UrlTarget, read_target
from onehop.control.explain.unserved import why_unserved
from onehop.model.endpoint import Path
from onehop.model.ident import ObjectRef, PoolId
from onehop.model.problem import Problem


def explain(facts: Facts, text: str) -> Answer:
    """Return the way to a target; what traffic went there is added by `with_traffic`."""
    meant = read_target(text, facts.compiler)
    if isinstance(meant, Refusal):
        return meant
    roads = _roads(facts, meant)
    if isinstance(roads, Refusal):
        return roads
    names = dict.fromkeys(b.pool for road in roads for b in road.outcome.branches)
    found = (pool_step(facts, PoolId(name)) for name in names)
    pools = tuple(pool for pool in found if pool is not None)
    target, problems = _target(meant), _problems(facts, meant, roads, pools)
    unserved = why_unserved(facts, meant, roads, pools)
    return Explanation(
        target=target,
        is_live=facts.is_live,
        says=_says(roads, pools) if unserved is None else unserved,
        unserved=unserved,
        roads=roads,
        pools=pools,
        advice=advise(facts, meant, roads, pools),
        problems=problems,
    )


def _roads(facts: Facts, meant: Meant) -> tuple[Road, ...] | Refusal:
    match meant:
        case UrlTarget():
            return roads_of_request(facts, meant)
        case ObjectTarget(ref=ref, port=port) if ref.kind == "Service":
            return tuple(roads_of_service(facts, ref, port))
        case ObjectTarget(ref=ref) if ref.kind == "Ingress":
            return tuple(roads_of_ingress(facts, ref))
        case ObjectTarget(ref=ref):
            return tuple(roads_of_route(facts, ref))
        case _:
            assert_never(meant)


def _target(meant: Meant) -> Target:
    match meant:
        case UrlTarget():
            return Target(kind=TargetKind.URL, name=str(meant))
        case ObjectTarget(ref=ref, port=port):
            name = f"{ref}:{port}" if port is not None else str(ref)
            return Target(kind=TargetKind(ref.kind.lower()), name=name)
        case _:
            assert_never(meant)


def _problems(
    facts: Facts, meant: Meant, roads: tuple[Road, ...], pools: tuple[PoolStep, ...]
) -> tuple[Problem, ...]:
    """Return what is wrong with the objects on the way."""
    names = [road.route.owner for road in roads if road.route is not None]
    names += [pool.service for pool in pools]
    names += [str(meant.ref)] if isinstance(meant, ObjectTarget) else []
    subjects = {_ref(name) for name in names if name is not None}
    return tuple(sorted({p for subject in subjects for p in facts.problems_of(subject)}))


def _ref(name: str) -> ObjectRef:
    kind, namespace, rest = name.split("/", 2)
    return ObjectRef(kind, namespace, rest)


def _says(roads: tuple[Road, ...], pools: tuple[PoolStep, ...]) -> str:
    """Return the whole in one sentence."""
    if not pools:
        kinds = {road.outcome.kind: road.outcome.says for road in roads}
        return kinds.get(OutcomeKind.REDIRECT) or next(iter(kinds.values()), "")
    rungs = _lowest_rungs(pools)
    by_node_port = sum(rung in (Path.LOCAL, Path.NODE) for rung in rungs)
    parts = {
        "reached directly, in one hop": rungs.count(Path.POD),
        f"reached by NodePort, in up to {max(p.hops_most for p in pools)} hops": by_node_port,
        "not reached": rungs.count(None),
    }
    told = [(how, count) for how, count in parts.items() if count]
    if not told:
        return f"{sum(len(pool.members) for pool in pools)} NodePorts, and no Pod behind them"
    if len(told) == 1:
        how, count = told[0]
        return f"{_pods(count)}, {'all ' if count > 1 else ''}{how}"
    parted = "; ".join(f"{count} {_are(count)} {how}" for how, count in told)
    return f"{_pods(len(rungs))}: {parted}"


def _lowest_rungs(pools: tuple[PoolStep, ...]) -> list[Path | None]:
    """Return the rung of each Pod; of one that stands on several, for several ports, the lowest."""
    found: dict[str, Path | None] = {}
    for pool in pools:
        for pod in pool.pods:
            found[pod.address] = max(found.get(pod.address, Path.POD), pod.rung, key=_ORDER.index)
    return list(found.values())


_ORDER: Final = (Path.POD, Path.LOCAL, Path.NODE, None)


def _pods(count: int) -> str:
    return "1 Pod" if count == 1 else f"{count} Pods"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"

"""The tree on a terminal: from the client down to each Pod.

All text is put together from `Text`, never from markup: names come from other people's objects.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, TypeVar

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from onehop.cli.explain.words import (
    TWO_TIERS_HOPS,
    age_text,
    count_text,
    hops_of,
    hops_text,
    percent_text,
    pods_by_node,
    traffic_of,
)
from onehop.control.explain.explanation import (
    Explanation,
    MemberStep,
    Nat,
    NatKind,
    PodStep,
    PoolStep,
    Refusal,
    Road,
    RouteStep,
    RungStep,
    SourceStep,
    TlsStep,
    VipStanding,
)
from onehop.control.explain.translation import node_text, socket_text
from onehop.model.endpoint import Path, Readiness

SHOWN: Final = 8
"""Nodes of a rung, and Pods of a node, that are shown one by one unless all are asked for."""

_COLOURS: Final = {Path.POD: "green", Path.LOCAL: "yellow", Path.NODE: "magenta"}
_NAT_NAMES: Final = {NatKind.PROXY: "new connection", NatKind.DNAT: "DNAT", NatKind.SNAT: "SNAT"}

T = TypeVar("T")


def print_explanation(console: Console, said: Explanation, *, show_all: bool = False) -> None:
    """Print the whole explanation."""
    limit = None if show_all else SHOWN
    head = Text(said.target.name, style="bold")
    head.append("" if said.is_live else "  (nothing runs here: this is what would be)", "yellow")
    console.print(head, soft_wrap=True)
    console.print(Text(said.says, style="red" if said.unserved else ""))
    console.print()
    if said.roads:
        console.print(_roads_tree(said, limit))
    if said.advice:
        console.print(Text("\nto change", style="bold"))
    for number, advice in enumerate(said.advice, 1):
        text = Text.assemble(
            (f"  {number}. ", "bold"), advice.do, (f"  -> {advice.gains}", "green")
        )
        console.print(text, soft_wrap=True)
    if said.problems:
        console.print(Text("\nproblems", style="bold"))
    for problem in said.problems:
        console.print(Text(f"  {problem.severity}: {problem}"), soft_wrap=True)


def print_refusal(console: Console, refusal: Refusal) -> None:
    """Print why there is nothing to explain."""
    console.print(Text(f"onehop: {refusal.message}"), soft_wrap=True)
    if refusal.near:
        console.print(Text(f"did you mean {' or '.join(refusal.near)}?"), soft_wrap=True)


def _roads_tree(said: Explanation, limit: int | None) -> Tree:
    """Return roads that share their beginning as one trunk; each pool where it is met first."""
    root = Tree(Text("client", style="bold"), guide_style="bright_black")
    pools = {pool.id: pool for pool in said.pools}
    told: set[str] = set()
    for _, by_vip in groupby(said.roads, key=lambda road: road.vip):
        roads = list(by_vip)
        vip = root.add(_vip_text(roads[0]))
        for _, by_listener in groupby(roads, key=lambda road: road.listener):
            same = list(by_listener)
            listener = vip.add(_listener_text(same[0]))
            if same[0].listener.tls is not None:
                listener.add(_tls_text(same[0].listener.tls))
            for road in _first(same, limit, listener, "rule"):
                _add_outcome(listener, road, pools, told, limit)
    return root


def _first(items: Sequence[T], limit: int | None, tree: Tree, word: str) -> Sequence[T]:
    """Return those that are shown, after a note about the rest at their place."""
    if limit is None or len(items) <= limit:
        return items
    rest = len(items) - limit
    tree.add(Text(f"{limit} of {len(items)} {word}s; {rest} more with --all", style="bright_black"))
    return items[:limit]


def _vip_text(road: Road) -> Text:
    vip = road.vip
    good = vip.standing is not VipStanding.NOT_BOUND
    owners = f"  {', '.join(vip.owners)}" if vip.owners else "  shared by all Ingresses"
    return Text.assemble(
        "VIP ", (vip.address, "bold"), owners, "  ", (vip.says, "bright_black" if good else "red")
    )


def _listener_text(road: Road) -> Text:
    listener = road.listener
    text = Text.assemble("listener ", (f"{listener.protocol} :{listener.port}", "bold"))
    notes = [
        "in the kernel, no proxy: conntrack keeps a connection with its Pod"
        if listener.served_by == "kernel"
        else "",
        f"certificate {listener.certificate}" if listener.certificate else "",
        f"only from {', '.join(listener.sources)}" if listener.sources else "",
        "begins with a PROXY header" if listener.accepts_proxy_protocol else "",
        f"at most {listener.max_connections} connections" if listener.max_connections else "",
    ]
    said = "; ".join(note for note in notes if note)
    return text.append(f"  {said}", "bright_black") if said else text


def _tls_text(tls: TlsStep) -> Text:
    style = "bright_black" if tls.is_accepted else "red"
    return Text.assemble(f"TLS {tls.policy}  ", (tls.says, style))


def _add_outcome(
    tree: Tree, road: Road, pools: dict[str, PoolStep], told: set[str], limit: int | None
) -> None:
    if road.route is not None:
        tree = _add_route(tree, road.route)
    if not road.outcome.branches:
        tree.add(Text(road.outcome.says, style="yellow"))
        return
    for branch in road.outcome.branches:
        share = "" if len(road.outcome.branches) == 1 else f"  {percent_text(branch.share_percent)}"
        pool = pools.get(branch.pool)
        name = Text.assemble("pool ", (branch.pool, "bold"), share)
        if pool is None:
            tree.add(name.append("  not served yet", "red"))
        elif branch.pool in told:
            tree.add(name.append("  as above", "bright_black"))
        else:
            told.add(branch.pool)
            _add_pool(tree, name, pool, limit)


def _add_route(tree: Tree, route: RouteStep) -> Tree:
    text = Text.assemble(
        ("host ", ""),
        (f"{route.host}{route.path}", "bold"),
        f" ({route.path_kind})  {route.owner or ''}  ",
        (route.why, "bright_black"),
    )
    node = tree.add(text)
    for limit in route.limits:
        node.add(Text(limit, style="yellow"))
    for loser in route.lost:
        node.add(Text(f"lost: {loser.owner}  {loser.rule}: {loser.why}", style="bright_black"))
    return node


def _add_pool(tree: Tree, name: Text, pool: PoolStep, limit: int | None) -> None:
    notes = [
        f"path {pool.policy}",
        pool.balancing,
        f"externalTrafficPolicy {pool.traffic_policy}",
        f"persistence by {pool.persistence}" if pool.persistence else "",
        f"checked by {pool.health_check}" if pool.health_check else "",
    ]
    node = tree.add(name.append("  " + ", ".join(note for note in notes if note), "bright_black"))
    for rung in pool.rungs:
        members = [member for member in pool.members if member.rung is rung.rung]
        pods = [pod for pod in pool.pods if pod.rung is rung.rung]
        if members or pods:
            _add_rung(node, rung, members, pods, limit)
    lost = [pod for pod in pool.pods if pod.rung is None]
    if lost:
        nowhere = node.add(Text(f"not reached  {count_text(len(lost), 'Pod')}", style="bold red"))
        _add_nodes(nowhere, None, [], lost, limit)
    _add_hops(node, pool, limit)


def _add_rung(
    tree: Tree,
    rung: RungStep,
    members: list[MemberStep],
    pods: list[PodStep],
    limit: int | None,
) -> None:
    traffic = rung.traffic_percent
    text = Text.assemble(
        (f"● {rung.rung}", f"bold {_COLOURS[rung.rung]}"),
        f"  {hops_text(rung.hops, rung.rung)}, {count_text(rung.pods, 'Pod')},"
        f" {percent_text(rung.share_percent)} by weight",
        f", {percent_text(traffic)} of traffic so far" if traffic is not None else "",
    )
    node = tree.add(text)
    if members:
        first = members[0]
        node.add(Text(f"NAT: {_nats_text(first.nats)}", style="bright_black"))
        node.add(Text(_source_text([member.source for member in members]), style="cyan"))
    _add_nodes(node, rung.rung, members, pods, limit)


def _source_text(sources: list[SourceStep]) -> str:
    says, *others = dict.fromkeys(source.says for source in sources)
    if others and sources[0].whose == "node":
        says = "an address of the node it comes by: kube-proxy replaces the source"
    elif others:
        says += ", or another one of its own"
    told = sources[0].client_in
    return f"the Pod sees {says}" + (f"; the client is named in {', '.join(told)}" if told else "")


def _nats_text(nats: Iterable[Nat]) -> str:
    places = groupby(nats, key=lambda nat: "onehop" if nat.where == "onehop" else "the node")
    return ", ".join(
        f"{' and '.join(_NAT_NAMES[nat.kind] for nat in there)} at {where}"
        for where, there in places
    )


def _add_nodes(
    tree: Tree,
    rung: Path | None,
    members: list[MemberStep],
    pods: list[PodStep],
    limit: int | None,
) -> None:
    by_node = pods_by_node(pods)
    names = list(dict.fromkeys((*by_node, *(member.node for member in members))))
    for name in _first(names, limit, tree, "node"):
        here = [member for member in members if member.node == name]
        there = by_node.get(name, [])
        node = tree.add(_node_line(name, rung, here, there))
        direct = {(member.address, member.port): member for member in here}
        for pod in _first(there, limit, node, "Pod"):
            node.add(_pod_line(pod, direct.get((pod.address, pod.port))))


def _node_line(
    name: str | None, rung: Path | None, members: list[MemberStep], pods: list[PodStep]
) -> Text:
    text = Text(node_text(name), style="bold")
    if rung in (Path.LOCAL, Path.NODE):
        for member in members:
            text.append(f"  {socket_text(member.address, member.port)}", "")
            text.append(f"  {percent_text(member.share_percent)}", "")
            text.append_text(_traffic_text([member]))
        if not members:
            text.append("  by the NodePorts of other nodes", "bright_black")
    reasons = dict.fromkeys(pod.keeps_down or _proof(pod) for pod in pods)
    style = "green" if rung is Path.POD else "yellow"
    for reason in reasons:
        text.append(f"  {reason}", style)
    return text


def _proof(pod: PodStep) -> str:
    age = f", for {age_text(pod.way.age_s)}" if pod.way.age_s is not None else ""
    table = f", table {pod.way.table}" if pod.way.table is not None else ""
    return f"{pod.way.says}{table}{age}"


def _pod_line(pod: PodStep, member: MemberStep | None) -> Text:
    text = Text(socket_text(pod.address, pod.port))
    if pod.readiness is Readiness.DRAINING:
        text.append("  draining", "yellow")
    if member is not None:
        text.append(f"  {percent_text(member.share_percent)}")
        text.append_text(_traffic_text([member]))
    return text


def _traffic_text(members: list[MemberStep]) -> Text:
    traffic = traffic_of(members)
    if traffic is None:
        return Text()
    text = Text(f"  {traffic.requests} so far, {traffic.active} now", style="bright_black")
    if traffic.failed:
        text.append(f", {traffic.failed} failed", "red")
    health = {member.traffic.health for member in members if member.traffic is not None}
    ill = sorted(word for word in health if word is not None and word.startswith("unhealthy"))
    return text.append(f"  {', '.join(ill)}", "red") if ill else text


def _add_hops(tree: Tree, pool: PoolStep, limit: int | None) -> None:
    tail = f"; with a second tier in the cluster up to {TWO_TIERS_HOPS}"
    node = tree.add(Text.assemble("hops now ", (hops_of(pool), "bold"), (tail, "bright_black")))
    for rung in pool.rungs:
        verb = "the others need" if rung.pods else "needs"
        needs = [f"{verb} {rung.needs[0]}", *rung.needs[1:]] if rung.needs else []
        text = Text.assemble((rung.rung.value, _COLOURS[rung.rung]), f" {_hops(rung)}")
        if limit is not None and len(needs) > limit:
            needs = [*needs[:limit], f"{len(needs) - limit} more"]
        text.append(f": {'; '.join(needs)}" if needs else "", "bright_black")
        node.add(text)


def _hops(rung: RungStep) -> str:
    return hops_text(rung.hops, rung.rung)

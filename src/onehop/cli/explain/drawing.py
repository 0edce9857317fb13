"""The drawing, in the manner of docs/four-ways.svg: client, onehop, nodes and Pods, left to right.

Each way is a straight line to where it leads, as wide as its share, in the colour of its rung. What
is dialled directly runs past kube-proxy; what goes to a NodePort runs into it.
"""

import textwrap
from collections.abc import Iterable
from typing import Final

import msgspec

from onehop.cli.explain.palette import STYLE
from onehop.cli.explain.rows import Row, is_counted, rows_of
from onehop.cli.explain.svg import Canvas, fitted, middle_fitted, width_of
from onehop.cli.explain.words import (
    TWO_TIERS_HOPS,
    count_text,
    hops_of,
    hops_text,
    percent_text,
)
from onehop.control.certificates.words import day_text
from onehop.control.explain.explanation import (
    Explanation,
    NatKind,
    OutcomeKind,
    PoolStep,
    Road,
)
from onehop.model.endpoint import Path

_WIDTH: Final = 1240
_MARGIN: Final = 14
_TOP: Final = 84
_BODY: Final = 124
_CLIENT: Final = (14, 78)  # x, width; so are the next ones
_HOST: Final = (150, 236)
_CLUSTER: Final = (476, 560)
_PROXY_HEIGHT: Final = 40
_NODE: Final = (492, 528)
_PROXY: Final = (560, 152)
_CHIP: Final = (806, 200)
_SIDE: Final = 1052
_HEAD: Final = 30
_LINE: Final = 36
_GAP: Final = 12
_POOLS: Final = 4
_RULES: Final = 5
_NOTE_LINES: Final = 14
_NOTE_WIDTH: Final = 170


class _Section(msgspec.Struct, frozen=True):
    """A pool, or an answer of our own, and the rules that lead there."""

    heading: str
    rules: tuple[str, ...]
    rows: tuple[Row, ...]
    reply: str | None = None

    @property
    def height(self) -> float:
        rows = sum(_row_height(row) + _GAP for row in self.rows)
        return 34 + max(rows, 18 * len(self.rules) + 30, 56)


def draw(said: Explanation) -> str:
    """Return the drawing of an explanation as SVG."""
    canvas = Canvas(style=STYLE)
    sections = tuple(_sections(said))
    bottom = _BODY + sum(section.height for section in sections)
    notes = _notes(said)
    height = bottom + 30 + 20 * len(notes) + 14
    canvas.box("paper", 0, 0, _WIDTH, height, radius=0)
    canvas.text("title", _MARGIN, 32, fitted(said.target.name, _WIDTH - 40, 18))
    canvas.text("small", _MARGIN, 54, fitted(said.says, _WIDTH - 40, 12))
    _frame(canvas, bottom, has_cluster=any(section.rows for section in sections))
    x, width = _HOST
    canvas.text("mid", x + width / 2, _TOP + 43, fitted(_vips(said.roads), width - 16, 12))
    y: float = _BODY
    for section in sections:
        _section(canvas, section, y)
        y += section.height
    _legend(canvas, notes, bottom + 30)
    return canvas.document(_WIDTH, height, f"The way to {said.target.name}", said.says)


def _frame(canvas: Canvas, bottom: float, *, has_cluster: bool) -> None:
    if has_cluster:
        x, width = _CLUSTER
        canvas.box("cluster", x, _TOP, width, bottom - _TOP, radius=14)
        canvas.text("head", x + 16, _TOP + 24, "Kubernetes cluster")
    x, width = _CLIENT
    canvas.box("client", x, _TOP, width, bottom - _TOP, radius=10)
    canvas.text("name", x + width / 2, (_TOP + bottom) / 2 + 5, "client")
    x, width = _HOST
    canvas.box("host", x, _TOP, width, bottom - _TOP, radius=10)
    canvas.text("big", x + width / 2, _TOP + 25, "onehop")


def _vips(roads: tuple[Road, ...]) -> str:
    vips = list(dict.fromkeys(road.vip.address for road in roads))
    more = f" and {len(vips) - 1} more" if len(vips) > 1 else ""
    return f"VIP {vips[0]}{more}" if vips else ""


def _sections(said: Explanation) -> Iterable[_Section]:
    for pool in said.pools[:_POOLS]:
        roads = [r for r in said.roads if any(b.pool == pool.id for b in r.outcome.branches)]
        yield _Section(_heading(pool), _rules(roads), tuple(rows_of(pool)))
    rest = len(said.pools) - _POOLS
    if rest > 0:
        yield _Section("", (), (), f"{count_text(rest, 'more pool')}, not drawn")
    replies: dict[str, list[Road]] = {}
    for road in said.roads:
        if road.outcome.kind is not OutcomeKind.FORWARD:
            replies.setdefault(road.outcome.says, []).append(road)
    for says, roads in replies.items():
        yield _Section("", _rules(roads), (), says)
    if not said.roads:
        yield _Section("", (), (), "nothing leads there")


def _heading(pool: PoolStep) -> str:
    return f"{pool.service} port {pool.port}: {_hops_now(pool)}"


def _hops_now(pool: PoolStep) -> str:
    if not pool.members:
        return "nobody to send to"
    if pool.hops_most == 1:
        return "1 hop"
    return (
        f"{hops_of(pool)} hops"
        if pool.hops_least < pool.hops_most
        else f"up to {pool.hops_most} hops"
    )


def _rules(roads: list[Road]) -> tuple[str, ...]:
    rules: dict[str, None] = {}
    for road in roads:
        listener = road.listener
        if road.route is None:
            host = f"[{road.vip.address}]" if ":" in road.vip.address else road.vip.address
            rules[f"{listener.protocol}://{host}:{listener.port}"] = None
        else:
            rules[f"{listener.protocol}://{road.route.host}{road.route.path}"] = None
    texts = list(rules)
    if len(texts) > _RULES:
        texts = [*texts[: _RULES - 1], f"and {len(texts) - _RULES + 1} more rules"]
    return (*texts, *_certificates(roads))


def _certificates(roads: list[Road]) -> Iterable[str]:
    """Yield a line about the certificates that clients see."""
    steps = {road.listener.tls for road in roads if road.listener.tls is not None}
    if len(steps) > 1:
        yield f"{len(steps)} certificates"
    for tls in steps if len(steps) == 1 else ():
        if tls.secret is None or tls.not_after is None:
            yield "no certificate: handshakes fail"
        else:
            how = f"until {day_text(tls.not_after)}" if tls.is_accepted else "clients refuse it"
            yield f"{tls.secret.partition('/')[2]}: {how}"


def _section(canvas: Canvas, section: _Section, top: float) -> None:
    x, width = _HOST
    middle = top + section.height / 2
    canvas.line("way-in", f"M{_CLIENT[0] + _CLIENT[1]} {middle:.1f}H{x - 8}", width=2)
    canvas.tip("tip-in", x, middle, 9)
    first = middle - 9 * (len(section.rules) - 1) + 4
    for number, rule in enumerate(section.rules):
        text = middle_fitted(rule, width - 16, 12)
        canvas.text("label", x + width / 2, first + 18 * number, text)
    if section.reply is not None:
        room = width_of(section.reply, 12) + 28
        canvas.line("way-in", f"M{x + width} {middle:.1f}H{_CLUSTER[0] - 8}", width=2)
        canvas.tip("tip-in", _CLUSTER[0], middle, 9)
        canvas.box("reply", _CLUSTER[0], middle - 18, room, 36)
        canvas.text("start", _CLUSTER[0] + 14, middle + 4, section.reply)
    else:
        canvas.text("start", _NODE[0], top + 22, fitted(section.heading, _NODE[1], 12))
    y = top + 34
    for row in section.rows:
        _row(canvas, row, y)
        y += _row_height(row) + _GAP


def _row_height(row: Row) -> float:
    body = max(1, len(row.chips)) * _LINE
    return _HEAD + (max(body, _PROXY_HEIGHT + 8) if row.dials is not None else body) + 4


def _row(canvas: Canvas, row: Row, top: float) -> None:
    height = _row_height(row)
    x, width = _NODE
    canvas.box("node", x, top, width, height)
    canvas.text("head", x + 14, top + 21, row.name)
    taken = width_of(row.name, 16) + 28
    kind = "bad" if row.is_warning else "small"
    canvas.text(kind, x + taken, top + 21, fitted(row.note, width - taken - 10, 12))
    center = top + _HEAD + (height - _HEAD) / 2 - 4
    first = center - _LINE * (len(row.chips) - 1) / 2
    middles = [first + _LINE * number for number in range(len(row.chips))]
    if row.rung is Path.POD:
        for share, middle in zip(row.shares, middles, strict=True):
            _straight(canvas, share, middle)
    elif row.dials is not None:
        _through_proxy(canvas, row, center, middles)
        if row.any_pod and not row.chips:
            _between_nodes(canvas, center, "2")
            canvas.text("mid", _CHIP[0] + _CHIP[1] / 2, center + 4, "a Pod of another node")
    elif row.rung is not None:
        for middle in middles:
            _between_nodes(canvas, middle, "3")
        canvas.text("mid", _PROXY[0] + _PROXY[1] / 2, center + 4, "another node's NodePort")
    for chip, middle in zip(row.chips, middles, strict=True):
        _chip(canvas, chip, middle, is_reached=row.rung is not None)
    _side(canvas, row, top + height / 2)


def _chip(canvas: Canvas, text: str, middle: float, *, is_reached: bool) -> None:
    x, width = _CHIP
    canvas.box("chip-pod" if is_reached else "chip-gone", x, middle - 14, width, 28, radius=7)
    canvas.text("label", x + width / 2, middle + 4, middle_fitted(text, width - 14, 12))


def _stroke(share: float) -> float:
    return 1.5 + share * 0.06


def _straight(canvas: Canvas, share: float, middle: float) -> None:
    """Draw the one hop: past everything."""
    stroke = _stroke(share)
    size = 8 + stroke
    _way(canvas, "pod", _CHIP[0], middle, stroke, size)
    _share(canvas, share, middle, stroke)
    canvas.dot("dot-pod", _NODE[0] - 32, middle, "1")


def _way(  # noqa: PLR0913, PLR0917  a line
    canvas: Canvas, rung: str, end: float, y: float, stroke: float, size: float
) -> None:
    start = _HOST[0] + _HOST[1]
    canvas.line(f"way-{rung}", f"M{start} {y:.1f}H{end - size + 1:.1f}", width=stroke)
    canvas.tip(f"tip-{rung}", end, y, size)


def _share(canvas: Canvas, share: float, y: float, stroke: float) -> None:
    x = _HOST[0] + _HOST[1] + 8
    canvas.text("share", x, y - stroke / 2 - 4, percent_text(share))


def _through_proxy(canvas: Canvas, row: Row, middle: float, pods: list[float]) -> None:
    """Draw the hop to a NodePort, and those from there."""
    rung = "local" if row.rung is Path.LOCAL else "node"
    stroke = _stroke(row.share)
    x, width = _PROXY
    _way(canvas, rung, x, middle, stroke, 8 + stroke)
    _share(canvas, row.share, middle, stroke)
    canvas.dot(f"dot-{rung}", _NODE[0] - 32, middle, "1")
    edge, bend = x + width, x + width + 62
    part = max(1.5, stroke / max(1, len(pods)))
    for y in pods:
        end = f"H{_CHIP[0] - 8}"
        path = (
            f"M{edge} {middle:.1f}C{edge + 36} {middle:.1f} {edge + 22} {y:.1f} {bend} {y:.1f}{end}"
        )
        canvas.line(f"way-{rung}", path, width=part)
        canvas.tip(f"tip-{rung}", _CHIP[0], y, 8 + part)
    if pods:
        canvas.dot(f"dot-{rung}", _CHIP[0] - 28, pods[0], "2")
    canvas.box("proxy", x, middle - _PROXY_HEIGHT / 2, width, _PROXY_HEIGHT)
    canvas.text("label", x + width / 2, middle - 3, "kube-proxy")
    canvas.text("mid", x + width / 2, middle + 13, middle_fitted(row.dials or "", width - 8, 12))


def _between_nodes(canvas: Canvas, middle: float, hop: str) -> None:
    """Draw the way to a Pod of one node by the NodePort of another one."""
    canvas.line("away", f"M{_PROXY[0] + _PROXY[1]} {middle:.1f}H{_CHIP[0] - 9}", width=1.5)
    canvas.tip("tip-node", _CHIP[0], middle, 9.5)
    canvas.dot("dot-node", _CHIP[0] - 28, middle, hop)


def _side(canvas: Canvas, row: Row, middle: float) -> None:
    """Write beside a node how far it is, and whom its Pods see."""
    if row.rung is None:
        canvas.text("word-none", _SIDE, middle + 4, "not reached")
        return
    lines = [hops_text(row.hops, row.rung)] if row.hops else []
    lines += ["or a Pod of another node"] if row.any_pod else []
    lines += [row.sees] if row.sees else []
    top = middle - 8 * len(lines) + 4
    canvas.text(f"word-{row.rung}", _SIDE, top, f"path: {row.rung}")
    for number, line in enumerate(lines, 1):
        canvas.text("small", _SIDE, top + 17 * number, line)


def _notes(said: Explanation) -> list[tuple[str, str]]:
    """Return the lines below the drawing, each with the kind of its sample or text."""
    notes: list[tuple[str, str]] = []
    for rung in Path:
        pool = next((p for p in said.pools if any(m.rung is rung for m in p.members)), None)
        if pool is not None:
            notes.append((rung.value, _rung_note(pool, rung)))
    if said.pools:
        width = "traffic so far" if any(map(is_counted, said.pools)) else "new work, by weight"
        tiers = f"A second tier inside the cluster would take up to {TWO_TIERS_HOPS} hops."
        notes.append(("", f"Lines are as wide as their share of {width}. {tiers}"))
    notes += [("head", "To change")] if said.advice else []
    for number, advice in enumerate(said.advice, 1):
        first, *more = textwrap.wrap(f"{number}. {advice.do}: {advice.gains}", _NOTE_WIDTH)
        notes += [("", first), *(("more", line) for line in more)]
    if len(notes) > _NOTE_LINES:
        notes = [*notes[:_NOTE_LINES], ("", "and more: see the tree")]
    return notes


def _rung_note(pool: PoolStep, rung: Path) -> str:
    member = next(member for member in pool.members if member.rung is rung)
    here = " and ".join(_NAT_NAMES[nat.kind] for nat in member.nats if nat.where == "onehop")
    there = " and ".join(_NAT_NAMES[nat.kind] for nat in member.nats if nat.where != "onehop")
    is_proxied = any(nat.kind is NatKind.PROXY for nat in member.nats)
    here += "" if is_proxied else " in onehop's kernel"
    at_node = f", {there} at the node" if there else ""
    client = ", ".join(member.source.client_in)
    told = f"; the client is named in {client}" if client else ""
    return f"{rung}: {hops_text(member.hops, rung)}; {here}{at_node}{told}"


_NAT_NAMES: Final = {
    NatKind.PROXY: "a new connection at onehop",
    NatKind.DNAT: "DNAT",
    NatKind.SNAT: "SNAT",
}


def _legend(canvas: Canvas, notes: list[tuple[str, str]], top: float) -> None:
    for number, (kind, text) in enumerate(notes):
        y = top + 20 * number
        if kind == "head":
            canvas.text("head", _MARGIN, y + 6, text)
        elif kind in tuple(Path):
            canvas.line(f"way-{kind}", f"M{_MARGIN} {y - 4:.1f}h26", width=4)
            canvas.text("small", _MARGIN + 36, y, text)
        else:
            canvas.text("small", _MARGIN + (16 if kind == "more" else 0), y + 6, text)

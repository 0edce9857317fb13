"""The pure rendering, and what a unit says to it."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from onehop.driver.vtm.compare import differences
from onehop.driver.vtm.content import Content, Kind
from onehop.driver.vtm.fit import fit
from onehop.driver.vtm.name import Names, is_owner
from onehop.driver.vtm.pool import nodes_table
from onehop.driver.vtm.preflight import NEEDED, choose_version
from onehop.driver.vtm.render import render_model
from onehop.driver.vtm.wanted import Wanted
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY
from onehop.lab.vtm.schema import check, defaults
from onehop.lab.vtm.store import shown
from onehop.lab.vtm.trafficscript import understand
from onehop.model.address import Cidr, IpAddr
from onehop.model.certificate import challenge_certificate
from onehop.model.endpoint import Endpoint
from onehop.model.endpoint import Path as Way
from onehop.model.listener import (
    ForwardHttp,
    ForwardTcp,
    ForwardUdp,
    PortCheck,
    TlsChallenge,
    TlsPolicy,
    Transport,
    Vip,
)
from onehop.model.model import Row, model_of
from onehop.model.pool import (
    BackendProtocol,
    BackendTls,
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    Pool,
    ProxyProtocol,
    SourceIpPersistence,
)
from onehop.model.route import (
    Action,
    Conditions,
    Cors,
    Forward,
    Guard,
    HeaderEdit,
    Mirror,
    PathKind,
    PoolShare,
    RateLimit,
    Redirect,
    Respond,
    Retry,
    Route,
)
from tests.driver_vtm.stage import (
    HTTP,
    HTTPS,
    NAMES,
    OWNER,
    VIP,
    certificate,
    endpoint,
    forward,
    host,
    listener,
    members,
    pool,
    route,
    server_name,
)
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden" / "everything.yaml"


def everything() -> list[Row]:
    """Return rows that use every field of the Model that a vTM is told of."""
    cookie = CookiePersistence(name="onehop", path="/shop", ttl_s=60, same_site="Lax", secure=True)
    check_http = HealthCheck(http_path="/healthz", http_host="x", expected=((200, 299), (401, 401)))
    node_check = HealthCheck(http_path="/healthz", port=30256, spares_pods=True)
    web = pool("web", persistence=cookie, health_check=check_http, tls=BackendTls())
    api = pool("api", balancing=Balancing.ROUND_ROBIN, health_check=HealthCheck())
    hashed = pool("hash", balancing=Balancing.HASH, health_check=node_check)
    tcp = pool("tcp", protocol=BackendProtocol.TCP, persistence=SourceIpPersistence())
    udp = pool("udp", protocol=BackendProtocol.UDP)
    www, default = certificate("www"), certificate("default", "two")
    guard = Guard(
        allow=(Cidr("10.0.0.0/8"), Cidr("2001:db8::/32")),
        deny=(Cidr("10.9.0.0/16"),),
        body_limit_bytes=1000,
        rate_limit=RateLimit(requests=50, per_s=10),
    )
    edit = HeaderEdit(set=(("X-A", 'say "1"'),), add=(("X-B", "2"),), remove=("X-C",))
    split = Forward(pools=(PoolShare(web.id, 3), PoolShare(api.id, 1)), rewrite_prefix="/")
    six = Endpoint(address=IpAddr("2001:db8::7"), port=8080)
    return [
        *(web, api, hashed, tcp, udp),
        members(web, endpoint(1, weight=3), endpoint(2, drains=True), six),
        members(api, endpoint(3, weight=1000), endpoint(4, weight=1)),
        members(hashed, endpoint(5, way=Way.LOCAL)),
        members(tcp, endpoint(6, drains=True)),
        members(udp, 7),
        Vip(address=VIP),
        Vip(address=IpAddr("2001:db8::10")),
        *(www, default, server_name("*", default), server_name("www.a.example", www)),
        listener(80, ForwardHttp(router=HTTP, trusted_hops=1), max_connections=100),
        listener(443, ForwardHttp(router=HTTPS, tls=True), sources=(Cidr("10.0.0.0/8"),)),
        listener(444, ForwardHttp(router=HTTPS, tls=True, tls_policy=TlsPolicy.MODERN)),
        listener(5432, ForwardTcp(pool=tcp.id), sources=(Cidr("10.0.0.0/8"),)),
        listener(53, ForwardUdp(pool=udp.id), transport=Transport.UDP),
        host(
            "www.a.example",
            route(split, "/api", guard=guard, request_headers=edit, response_headers=edit),
            route(forward(hashed), "/exact", PathKind.EXACT),
            route(Redirect(scheme="https", port=443), "/old"),
            route(Respond(status=404, body="nothing here"), "/none"),
            route(forward(api)),
        ),
        host("gateway.a.example", *_asked_of_gateways(web, api)),
        host("*.a.example", route(forward(web))),
        host("*", route(forward(web)), router=HTTPS),
    ]


def _asked_of_gateways(web: Pool, api: Pool) -> Iterator[Route]:
    """Yield what Ingresses cannot ask for."""
    when = Conditions(method="PUT", headers=(("x-a", "1"),), queries=(("q", "2"),))
    cors = Cors(origins=("https://page.example",), credentials=True, methods=("PUT",))
    one, two = HeaderEdit(set=(("X-Way", "one"),)), HeaderEdit(set=(("X-Way", "two"),))
    shares = (PoolShare(web.id, 1, one), PoolShare(api.id, 2, response_headers=two))
    yield route(Forward(pools=shares, missing=1, rewrite_prefix="/new"), "/shares", cors=cors)
    yield route(forward(web, rewrite_path="/x", rewrite_host="b.example"), "/a", when=when)
    yield route(Redirect(host="b.example", prefix="/new"), "/moved", cors=cors)
    yield route(Redirect(code=302, path="/new"), "/found")


def test_a_rendering_is_the_same_whatever_order_its_rows_come_in() -> None:
    """It is as the golden file has it, survives JSON, and holds no private key."""
    rows = everything()
    rendered = render_model(model_of(rows), owner=OWNER, machines=("tm-1", "tm-2"))
    random.Random(7).shuffle(rows)  # noqa: S311  an order, no secret

    assert render_model(model_of(rows), owner=OWNER, machines=("tm-1", "tm-2")) == rendered
    assert json.loads(json.dumps(rendered)) == rendered
    assert "PRIVATE KEY" not in json.dumps(rendered)
    text = yaml.dump(rendered, Dumper=_Block, sort_keys=True, width=100, allow_unicode=True)
    check_golden(GOLDEN, text)


class _Block(yaml.SafeDumper):
    """Texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Block.add_representer(str, _text)


def test_rows_one_by_one_come_to_the_same_as_all_at_once() -> None:
    """In any order, with detours by other rows: what is kept up to date is what is rendered."""
    rows = [row for each in everything() if (row := fit(each).row) is not None]
    whole = Wanted(NAMES)
    whole.put(rows)
    bit_by_bit = Wanted(NAMES)
    order = random.Random(3)  # noqa: S311  an order, no secret
    for _ in range(3):
        order.shuffle(rows)
        for row in rows:
            before = dict(bit_by_bit.objects)
            touched = bit_by_bit.put((row,))
            changed = {
                key
                for key in before.keys() | bit_by_bit.objects.keys()
                if before.get(key) != bit_by_bit.objects.get(key)
            }
            assert changed <= touched

    assert bit_by_bit.objects == whole.objects


def test_every_object_passes_the_checks_of_a_unit() -> None:
    """And what the unit shows of it, in either of its ways, is no difference."""
    wanted = Wanted(NAMES, machines=("tm-1",))
    wanted.put(row for each in everything() if (row := fit(each).row) is not None)
    for key, content in wanted.objects.items():
        if isinstance(content, str):
            understand(content)
            continue
        given = json.loads(json.dumps(_revealed(content)))
        for behaviour in (ONE_WAY, THE_OTHER_WAY):
            taken = check(key.kind, "8.3", given, is_new=True, behaviour=behaviour)
            whole = defaults(key.kind, "8.3")
            for section, fields in taken.items():
                whole[section].update(fields)
            for seed in range(3):
                answer = shown(key.kind, whole, behaviour, "8.3", random.Random(seed))  # noqa: S311
                assert differences(content, answer) is None


def _revealed(content: Content) -> object:
    assert not isinstance(content, str)
    return {
        section: {name: getattr(value, "reveal", value) for name, value in fields.items()}
        for section, fields in content.items()
    }


def test_preflight_asks_for_every_field_that_is_written() -> None:
    """A field that is written and not asked for would be found out by a refusal."""
    wanted = Wanted(NAMES)
    wanted.put(row for each in everything() if (row := fit(each).row) is not None)
    written: dict[Kind, set[str]] = {}
    for key, content in wanted.objects.items():
        if not isinstance(content, str):
            fields = {name for section in content.values() for name in section}
            written.setdefault(key.kind, set()).update(fields)

    assert {kind: frozenset(fields) for kind, fields in written.items()} == NEEDED


def test_weights_are_scaled_into_what_a_unit_takes() -> None:
    """1 to 100, shares kept as well as whole numbers can; nobody gets nothing."""
    table = nodes_table((endpoint(1, weight=1000), endpoint(2, weight=500), endpoint(3, weight=1)))

    assert [row["weight"] for row in table] == [100, 50, 1]


def test_a_draining_node_drains_only_beside_a_serving_one() -> None:
    """Where all drain, all are active (KEP-1669)."""
    beside = nodes_table((endpoint(1), endpoint(2, drains=True)))
    alone = nodes_table((endpoint(1, drains=True), endpoint(2, drains=True)))

    assert [row["state"] for row in beside] == ["active", "draining"]
    assert [row["state"] for row in alone] == ["active", "active"]


def test_what_does_not_fit_says_why() -> None:
    """Each in a sentence that names vTM, or the part; what fits has none."""
    plain = pool("x")
    split = Forward(pools=(PoolShare(plain.id),), timeout_s=3.0, retry=Retry(attempts=5))
    challenge = TlsChallenge(hostname="a.example", certificate=challenge_certificate("a.example"))
    partly: list[Row] = [
        pool("x", max_connections=5),
        pool("x", health_check=HealthCheck(port=9000)),
        pool("x", persistence=CookiePersistence(name="mine")),
        listener(443, ForwardHttp(router=HTTPS, tls=True, challenges=(challenge,))),
        listener(80, accepts_proxy_protocol=True),
        host("a.example", route(split)),
    ]
    never: list[Row] = [
        pool("x", protocol=BackendProtocol.H2),
        pool("x", tls=BackendTls(server_name="x")),
        pool("x", tls=BackendTls(trusts_system=True)),
        listener(443, ForwardHttp(router=HTTPS, tls=True, clients=PortCheck(ca_pem="CA"))),
        pool("x", proxy_protocol=ProxyProtocol.V2),
        pool("x", is_transparent=True),
        pool("x", persistence=HeaderPersistence(name="x")),
        pool("x", balancing=Balancing.HASH, persistence=SourceIpPersistence()),
        pool("x", persistence=CookiePersistence(name="onehop", path="/; Domain=evil")),
        host("a.example", route(Respond(status=200, body="a\rb"))),
        host("a.example", route(forward(plain), request_headers=HeaderEdit(remove=(":path",)))),
        host("a.example", route(forward(plain), response_headers=HeaderEdit(set=(("x", "\r"),)))),
        *(host("a.example", route(action)) for action in _unsayable(plain)),
        host("a.example", route(forward(plain), when=Conditions(method="GET /"))),
        host("a.example", route(forward(plain), when=Conditions(headers=(("a b", "1"),)))),
        host("a.example", route(forward(plain), when=Conditions(queries=(("a", "\n"),)))),
        host("a.example", route(forward(plain), cors=Cors(origins=("https://*.a/\r\n",)))),
        host("a.example", route(forward(plain), cors=Cors(exposed=("a\r\nb",)))),
    ]
    for row in partly:
        served = fit(row)
        assert served.lacks.startswith("served without ")
        assert served.row is not None
        assert fit(served.row).lacks in {"", served.lacks}
    for row in never:
        assert fit(row).row is None
        assert fit(row).lacks
    for row in everything():
        assert fit(row).lacks == ""


def _unsayable(plain: Pool) -> Iterator[Action]:
    yield Redirect(code=200)
    yield Redirect(scheme="ftp")
    yield Redirect(host="*.a.example")
    yield Redirect(path="/a\r\nSet-Cookie: b")
    yield Redirect(prefix="/a?b")
    yield forward(plain, rewrite_path="/a b")
    yield forward(plain, rewrite_host="a.example\r\n")
    yield forward(plain, mirrors=(Mirror(plain.id),))
    yield forward(plain, retry=Retry(on_silence=True))
    yield Forward(pools=(PoolShare(plain.id, 1, HeaderEdit(set=(("x", "\r"),))),))


IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)


@given(IDS, IDS)
def test_names_never_collide_and_are_always_names(one: str, two: str) -> None:
    """Two ids share no object, and no name has a character that a unit would refuse."""
    assert (NAMES.name(one) == NAMES.name(two)) == (one == two)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]{0,99}", NAMES.name(one))
    assert NAMES.is_ours(NAMES.name(one), NAMES.note(two))
    assert not Names("other").is_ours(NAMES.name(one), NAMES.note(one))


def test_an_owner_is_a_plain_word() -> None:
    """What could end a comment or a name is none."""
    assert is_owner("prod-1.eu")
    for text in ("", "-x", "a\nb", "a b", "Ä", "x" * 40):
        assert not is_owner(text)


def test_the_newest_version_is_chosen_by_number() -> None:
    """6.10 is after 6.9, and what is beyond 8 is left to a driver that knows it."""
    assert choose_version(("6.9", "6.10", "9.0", "3.11", "later")) == "6.10"


def test_a_pool_behind_node_ports_alone_is_checked() -> None:
    """Of Pods the kubelet knows better: where one is a member, the unit does not check."""
    checked = pool("x", health_check=HealthCheck(spares_pods=True))
    for way, monitored in ((Way.NODE, True), (Way.POD, False)):
        rendered = render_model(
            model_of((checked, members(checked, endpoint(1, way=way)))), owner=OWNER
        )
        monitors = rendered["pools"][NAMES.name(checked.id)]["basic"]["monitors"]
        assert bool(monitors) is monitored

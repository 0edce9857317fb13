"""The imitated unit is strict: what it takes would be taken, as far as is known."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import msgspec
import pytest

from onehop.lab.vtm import VtmCluster, serve_vtm
from onehop.lab.vtm.behaviour import ONE_WAY, THE_OTHER_WAY, Behaviour
from onehop.lab.vtm.cluster import PASSWORD, USERNAME
from onehop.lab.vtm.functions import FallThrough, Request
from onehop.lab.vtm.syntax import ScriptError
from onehop.lab.vtm.trafficscript import run_request_rule, understand

ACTIVE = "/api/tm/8.3/config/active"
TEXT = {"Content-Type": "application/octet-stream"}


class Caller:
    """Speaks to a member as anybody could."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = more.pop("headers", {"Content-Type": "application/json"})
        url = self._url + path
        async with self._http.request(method, url, data=data, headers=headers, **more) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else text


@pytest.fixture
async def unit() -> AsyncGenerator[Caller]:
    login = aiohttp.encode_basic_auth(USERNAME, PASSWORD)
    async with (
        serve_vtm(VtmCluster(Behaviour(drops_default_columns=False))) as urls,
        aiohttp.ClientSession(headers={"Authorization": login}) as http,
    ):
        yield Caller(http, urls[0])


async def test_the_tree_is_walked_by_names(unit: Caller) -> None:
    """Versions, collections, objects; names raw, addresses encoded."""
    assert (await unit.call("GET", "/api/tm"))[1]["children"][-1]["name"] == "8.3"
    status, made = await unit.call("PUT", f"{ACTIVE}/pools/my%20pool", {"properties": {}})
    assert (status, made["properties"]["connection"]["max_reply_time"]) == (201, 30)

    listed = (await unit.call("GET", f"{ACTIVE}/pools/"))[1]["children"]
    assert listed == [{"name": "my pool", "href": f"{ACTIVE}/pools/my%20pool"}]
    assert (await unit.call("GET", listed[0]["href"]))[0] == 200
    assert (await unit.call("DELETE", listed[0]["href"]))[0] == 204
    status, said = await unit.call("DELETE", f"{ACTIVE}/pools/my%20pool")
    assert (status, said["error_id"]) == (404, "resource.not_found")
    assert f"'{ACTIVE}/pools/my%20pool'" in said["error_text"]


async def test_a_put_merges_by_property(unit: Caller) -> None:
    """What is not said stays; a list is replaced whole."""
    rows = [{"node": "10.0.0.1:80", "weight": 7}, {"node": "10.0.0.2:80"}]
    await unit.call("PUT", f"{ACTIVE}/pools/p", {"properties": {"basic": {"nodes_table": rows}}})
    status, after = await unit.call(
        "PUT", f"{ACTIVE}/pools/p", {"properties": {"connection": {"max_reply_time": 60}}}
    )

    assert status == 200
    assert [row["weight"] for row in after["properties"]["basic"]["nodes_table"]] == [7, 1]


@pytest.mark.parametrize(
    ("properties", "place", "error_id"),
    [
        ({"nonsense": {}}, ("nonsense",), "json.unknown_property"),
        ({"basic": {"nonsense": 1}}, ("basic", "nonsense"), "json.unknown_property"),
        ({"basic": {"note": 1}}, ("basic", "note"), "json.wrong_type"),
        ({"basic": {"transparent": 1}}, ("basic", "transparent"), "json.wrong_type"),
        (
            {"connection": {"max_reply_time": True}},
            ("connection", "max_reply_time"),
            "json.wrong_type",
        ),
        (
            {"connection": {"max_reply_time": 0}},
            ("connection", "max_reply_time"),
            "num.out_of_range",
        ),
        (
            {"basic": {"node_delete_behavior": "x"}},
            ("basic", "node_delete_behavior"),
            "enum.invalid",
        ),
        ({"basic": {"monitors": ["a", "a"]}}, ("basic", "monitors"), "list.duplicate"),
        ({"basic": {"monitors": [1]}}, ("basic", "monitors"), "json.wrong_type"),
        ({"basic": {"nodes_table": [1]}}, ("basic", "nodes_table"), "json.invalid_table"),
        (
            {"basic": {"nodes_table": [{"node": "a:1", "weight": 101}]}},
            ("basic", "nodes_table", "a:1", "weight"),
            "num.out_of_range",
        ),
        (
            {"basic": {"nodes_table": [{"node": "a:1"}, {"node": "a:1"}]}},
            ("basic", "nodes_table", "a:1", "node"),
            "table.duplicate",
        ),
        (
            {"basic": {"nodes_table": [{"weight": 1}]}},
            ("basic", "nodes_table", "None", "node"),
            "property.no_default",
        ),
        ({"basic": {"lard_size": 1}}, ("basic", "lard_size"), "json.unknown_property"),
    ],
)
async def test_a_fault_is_told_at_its_place(
    unit: Caller, properties: Any, place: tuple[str, ...], error_id: str
) -> None:
    """400, with section, field, row and column; hidden fields are unknown."""
    status, said = await unit.call("PUT", f"{ACTIVE}/pools/p", {"properties": properties})

    assert (status, said["error_id"]) == (400, "resource.validation_error")
    found = said["error_info"]
    for name in place:
        found = found[name]
    assert found["error_id"] == error_id
    assert (await unit.call("GET", f"{ACTIVE}/pools/p"))[0] == 404


async def test_what_must_be_said_is_missed(unit: Caller) -> None:
    """On creating: a virtual server without pool and port; a server key without its texts."""
    _, said = await unit.call("PUT", f"{ACTIVE}/virtual_servers/v", {"properties": {}})
    assert said["error_info"]["basic"].keys() == {"pool", "port"}
    _, said = await unit.call("PUT", f"{ACTIVE}/ssl/server_keys/k", {"properties": {}})
    assert said["error_info"]["basic"].keys() == {"note", "private", "public", "request"}


@pytest.mark.parametrize(
    ("asked", "body", "headers", "status"),
    [
        ("PUT /pools/p", b"{", None, 400),
        ("PUT /pools/p", {"properties": {}, "x": 1}, None, 400),
        ("PUT /pools/p", b"{}", TEXT, 415),
        ("PUT /rules/r", b"", None, 415),
        ("PUT /rules/r", b"no script", TEXT, 400),
        ("PUT /pools/.p", {}, None, 400),
        ("PUT /pools/a%2Fb", {}, None, 400),
        ("PUT /traffic_managers/tm-9", {}, None, 403),
        ("PUT /nonsense/x", {}, None, 404),
        ("POST /pools/p", {}, None, 405),
        ("DELETE /pools", None, None, 405),
        ("GET /pools/p/q", None, None, 404),
    ],
)
async def test_what_cannot_be_is_refused(
    unit: Caller, asked: str, body: Any, headers: Any, status: int
) -> None:
    """In the unit's form, whatever it is."""
    method, path = asked.split()
    more = {} if headers is None else {"headers": headers}
    answered, said = await unit.call(method, ACTIVE + path, body, **more)

    assert answered == status
    assert {"error_id", "error_text"} <= said.keys()


async def test_rules_are_texts(unit: Caller) -> None:
    """201, then 204; read back byte by byte."""
    text = b'pool.use( "p" );\n'
    assert (await unit.call("PUT", f"{ACTIVE}/rules/r", text, headers=TEXT))[0] == 201
    assert (await unit.call("PUT", f"{ACTIVE}/rules/r", text, headers=TEXT))[0] == 204
    assert (await unit.call("GET", f"{ACTIVE}/rules/r"))[1] == text
    state = (await unit.call("GET", "/api/tm/8.3/status/local_tm/state"))[1]["state"]
    assert (state["error_level"], len(state["errors"])) == ("error", 1)


async def test_what_is_in_use_is_not_deleted(unit: Caller) -> None:
    """Not while a virtual server names it."""
    await unit.call("PUT", f"{ACTIVE}/pools/p", {"properties": {}})
    server = {"properties": {"basic": {"pool": "p", "port": 80}}}
    await unit.call("PUT", f"{ACTIVE}/virtual_servers/v", server)

    assert (await unit.call("DELETE", f"{ACTIVE}/pools/p"))[0] == 400
    assert (await unit.call("DELETE", f"{ACTIVE}/virtual_servers/v"))[0] == 204
    assert (await unit.call("DELETE", f"{ACTIVE}/pools/p"))[0] == 204


async def test_a_stranger_is_let_in_nowhere(unit: Caller) -> None:
    """401, with the unit's words."""
    for authorization in ("", "Basic !", "Basic YWRtaW46eA==", "Bearer x"):
        headers = {"Authorization": authorization}
        status, said = await unit.call("GET", "/api/tm", headers=headers)
        assert (status, said["error_id"]) == (401, "auth.invalid")


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "$x = 1",
        '$x = "unended',
        "if( 1 ) {",
        "no.such.function( 1 );",
        'pool.use( "a", );',
        "pool.use();",
        "; ",
        "$x = ;",
        "= 1;",
    ],
)
def test_what_is_no_rule_is_not_understood(text: str) -> None:
    """And says so."""
    with pytest.raises(ScriptError):
        understand(text)


def test_a_rule_may_come_to_its_end() -> None:
    """Numbers and texts are what the other side of an operator needs."""
    text = (
        '$a = "1" + 2 - 1; if( $a == 2 && !( "x" == "y" ) && -1 < 0 && "3" > 2 ) { $b = $a . "x"; }'
        ' if( $b != "2x" || $c ) { pool.use( "never" ); } # the end\n'
    )
    assert run_request_rule(text, Request()) == FallThrough()


def test_the_other_way_is_the_other_way_in_everything() -> None:
    """Each thing that is not known of a real unit is tried in both positions by every suite."""
    measures = {"replication_s", "call_s"}
    for name in Behaviour.__struct_fields__:
        is_same = getattr(ONE_WAY, name) == getattr(THE_OTHER_WAY, name)
        assert is_same is (name in measures), name


@pytest.mark.parametrize("behaviour", [ONE_WAY, THE_OTHER_WAY], ids=["one", "other"])
async def test_what_a_member_has_not_passed_on_is_lost_or_not(behaviour: Behaviour) -> None:
    """Whether it comes after all when the member is down is one of the unknowns."""
    cluster = VtmCluster(msgspec.structs.replace(behaviour, replication_s=1.0))
    first, second = cluster.members
    first.put(("pools", "a"), "6.0", {})
    first.faults.is_down = True
    second.settle()
    await asyncio.sleep(1.05)
    second.settle()
    assert (("pools", "a") in second.objects) is not behaviour.loses_unreplicated

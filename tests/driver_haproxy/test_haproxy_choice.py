"""Routes by more than a path, and what an edit of them costs; a real HAProxy."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from onehop.model.model import Row
from onehop.model.route import (
    Conditions,
    HeaderEdit,
    PathKind,
    PathMatch,
    Redirect,
    Respond,
    Route,
)
from tests.driver_envoy.world import (
    Client,
    connected,
    forward,
    free_port,
    host,
    listener,
    pool,
    prefix,
    route,
)
from tests.driver_haproxy.world import World, haproxy

pytestmark = pytest.mark.haproxy


def said(body: str, match: PathMatch | None = None, **fields: Any) -> Route:
    """Return a route that says its name."""
    return route(Respond(status=200, body=body), match, **fields)


@pytest_asyncio.fixture
async def world() -> AsyncGenerator[World]:
    async with haproxy() as running:
        yield running


async def test_another_route_with_known_conditions_costs_no_reload(world: World) -> None:
    """Nor does one of another host, another pool, or another answer."""
    port, web = free_port(), pool()
    post, beta = Conditions(method="POST"), Conditions(headers=(("x-beta", "yes"),))
    base: tuple[Row, ...] = (listener(port), web)
    first = host("a.example", said("post", when=post), said("beta", when=beta), said("rest"))
    to_web = host("c.example", route(forward(web), when=post), said("rest"))
    await world.serve(*base, first, to_web)
    assert world.driver.reload_reasons["choice"] == 1
    reloads = world.driver.reloads

    other = host("b.example", said("POST", when=post), said("BETA", when=beta), said("REST"))
    moved = host("c.example", said("post", when=post), route(forward(web)))
    await world.serve(*base, first, other, moved)

    assert world.driver.reloads == reloads, world.driver.last_reload
    async with connected(port) as client:
        assert await _bodies(client, "a.example") == ["rest", "post", "beta"]
        assert await _bodies(client, "b.example") == ["REST", "POST", "BETA"]
    await world.serve(*base, other)
    assert world.driver.reloads == reloads
    async with connected(port) as client:
        assert await _bodies(client, "b.example") == ["REST", "POST", "BETA"]


async def _bodies(client: Client, name: str) -> list[str]:
    beta = {"x-beta": "yes"}
    asked: tuple[tuple[str, dict[str, str]], ...] = (("GET", {}), ("POST", beta), ("GET", beta))
    return [(await client.ask(name, method=m, headers=h)).body for m, h in asked]


async def test_text_of_conditions_means_itself(world: World) -> None:
    """Whatever it would mean to HAProxy: the end of a condition, an option, a variable."""
    port = free_port()
    odd = ("}", "-i", "-f /etc/passwd", "%[src]", 'it\'s "${HOME}" \\ # ;', "a,b", ".*")
    routes = [
        said(f"{number}", when=Conditions(headers=(("x-odd", text),)))
        for number, text in enumerate(odd)
    ]
    named = said("named", when=Conditions(queries=(("!$*+.^_|~-", "%20"),)))
    await world.serve(listener(port), host("a.example", *routes, named))
    async with connected(port) as client:
        for number, text in enumerate(odd):
            reply = await client.ask("a.example", headers={"x-odd": text})
            assert (reply.status, reply.body) == (200, f"{number}"), text
        for text in ("x", "}}", "a", "b", "-I"):
            assert (await client.ask("a.example", headers={"x-odd": text})).status == 404, text
        for query, status in (("a=1&!$*+.^_|~-=%20", 200), ("!$*+.^_|~-=", 404), ("", 404)):
            assert (await client.ask("a.example", f"/?{query}")).status == status, query


async def test_calls_are_told_apart_by_their_method(world: World) -> None:
    """The second of two elements, whatever the service; a service of its own comes first."""
    port = free_port()
    call = said("get", PathMatch(PathKind.METHOD, "Get"))
    routes = (said("own", prefix("/pkg.Own")), call, said("all", prefix("/pkg")))
    await world.serve(listener(port), host("a.example", *routes))
    async with connected(port) as client:
        for path, body in (
            ("/pkg.Own/Get", "own"),
            ("/pkg.Other/Get", "get"),
            ("/pkg/Get", "get"),
            ("/pkg/Get/x", "all"),
            ("/pkg/Forget", "all"),
        ):
            assert (await client.ask("a.example", path)).body == body, path
        assert (await client.ask("a.example", "/x/Put")).status == 404


async def test_what_was_chosen_is_done_in_full(world: World) -> None:
    """Policies of chosen routes stand elsewhere: redirects, and headers of answers, once."""
    port = free_port()
    moved = route(Redirect(code=303, host="b.example", path="/new"), when=Conditions(method="PUT"))
    edit = HeaderEdit(add=(("x-more", "once"),))
    edited, plain = said("edited", response_headers=edit), said("plain", response_headers=edit)
    hosts = host("a.example", moved, edited), host("plain.example", plain)
    await world.serve(listener(port), *hosts)
    async with connected(port) as client:
        reply = await client.ask("a.example", "/x?q=1", method="PUT")
        assert (reply.status, reply.headers["location"]) == (303, "http://b.example/new?q=1")
        for name in ("a.example", "plain.example"):
            client.writer.write(f"GET / HTTP/1.1\r\nhost: {name}\r\n\r\n".encode())
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.count(b"x-more: once") == 1
            await client.reader.readexactly(len("edited" if name == "a.example" else "plain"))

"""Sessions that stay with their endpoint, through a real Envoy."""

from typing import Any

import pytest

from onehop.model.pool import (
    Balancing,
    CookiePersistence,
    HeaderPersistence,
    SourceIpPersistence,
)
from onehop.model.route import Forward, PoolShare
from tests.driver_envoy.world import (
    backend,
    connected,
    draining,
    envoy,
    forward,
    free_port,
    get,
    host,
    listener,
    members,
    pool,
    route,
)

pytestmark = pytest.mark.envoy


async def test_a_cookie_binds_a_client_to_its_endpoint_even_while_that_drains() -> None:
    """The cookie has the attributes asked for; without it, a client may go anywhere."""
    cookie = CookiePersistence(name="sid", path="/", ttl_s=600, secure=True, same_site="Lax")
    port, web = free_port(), pool(persistence=cookie)
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint, two.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        first = await get(port, "a.example")
        set_cookie = first.headers["set-cookie"]
        pair, _, attributes = set_cookie.partition(";")
        assert pair.startswith("sid=")
        shown = {each.strip().lower() for each in attributes.split(";")}
        assert {"path=/", "max-age=600", "secure", "httponly", "samesite=lax"} <= shown

        again = [await get(port, "a.example", cookie=pair) for _ in range(10)]
        assert {reply.body for reply in again} == {first.body}
        assert not any("set-cookie" in reply.headers for reply in again)
        assert {(await get(port, "a.example")).body for _ in range(40)} == {"one", "two"}

        mine, other = (one, two) if first.body == "one" else (two, one)
        await world.serve(
            web,
            members(web, draining(mine.port), other.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        assert {(await get(port, "a.example", cookie=pair)).body for _ in range(9)} == {mine.name}
        assert {(await get(port, "a.example")).body for _ in range(9)} == {other.name}

        await world.serve(
            web,
            members(web, other.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        moved = await get(port, "a.example", cookie=pair)
        assert (moved.body, moved.headers["set-cookie"] != set_cookie) == (other.name, True)


async def test_a_header_binds_a_client_to_its_endpoint() -> None:
    """The response carries it, and the client sends it back."""
    port, web = free_port(), pool(persistence=HeaderPersistence(name="x-session"))
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint, two.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        first = await get(port, "a.example")
        session = first.headers["x-session"]

        again = {(await get(port, "a.example", x_session=session)).body for _ in range(10)}

        assert again == {first.body}


@pytest.mark.parametrize(
    "policy", [{"persistence": SourceIpPersistence()}, {"balancing": Balancing.HASH}]
)
async def test_an_address_binds_a_client_to_its_endpoint(policy: dict[str, Any]) -> None:
    """One address, one endpoint; many addresses, all endpoints."""
    port, web = free_port(), pool(**policy)
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(
            web,
            members(web, one.endpoint, two.endpoint),
            listener(port),
            host("*", route(forward(web))),
        )
        taken: set[str] = set()
        for last in range(1, 41):
            bodies: set[str] = set()
            for _ in range(3):
                async with connected(port, source=f"127.0.0.{last}") as client:
                    bodies.add((await client.ask("a.example")).body)
            assert len(bodies) == 1
            taken |= bodies
        assert taken == {"one", "two"}


async def test_a_session_stays_though_its_route_has_two_pools() -> None:
    """A client that keeps its cookie is not sent to the other pool half of the time."""
    cookie = CookiePersistence(name="sid")
    port, web, api = free_port(), pool("web", persistence=cookie), pool("api", persistence=cookie)
    both = Forward(pools=(PoolShare(web.id, 1), PoolShare(api.id, 1)))
    async with backend("one") as one, backend("two") as two, envoy() as world:
        await world.serve(
            *(web, api, members(web, one.endpoint), members(api, two.endpoint)),
            listener(port),
            host("*", route(both)),
        )
        first = await get(port, "a.example")
        pair = first.headers["set-cookie"].partition(";")[0]

        again = {(await get(port, "a.example", cookie=pair)).body for _ in range(20)}

        assert again == {first.body}


async def test_persistence_reaches_hosts_that_were_there_before_their_pool() -> None:
    """A host may wait for its pool; when that comes, its sessions are kept."""
    port, web = free_port(), pool(persistence=CookiePersistence(name="sid"))
    shown = host("*", route(forward(web)))
    async with backend("one") as one, envoy() as world:
        await world.serve(listener(port), shown)
        assert (await get(port, "a.example")).status == 503

        await world.serve(listener(port), shown, web, members(web, one.endpoint))

        assert "sid=" in (await get(port, "a.example")).headers["set-cookie"]

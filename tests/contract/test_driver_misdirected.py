"""Requests on connections that were made for other hosts, by every data plane that carries them.

The listeners and answers are those of the conformance test
HTTPRouteHTTPSListenerDetectMisdirectedRequests, and a few more: names below a wildcard, and none.
"""

import msgspec

from onehop.model.listener import ForwardHttp
from onehop.model.model import Row
from onehop.model.route import HeaderEdit, MadeFor, Respond
from tests.contract.drivers import RunningDriver
from tests.contract.test_driver_tls import unchecking
from tests.contract.traffic import serve
from tests.driver_envoy.world import (
    HTTPS,
    connected,
    exact,
    free_port,
    host,
    identity,
    listener,
    prefix,
    route,
    server_name,
)

SITE = identity("site", "example.org")
FIRST = MadeFor("*", ("*.wildcard.org", "fourth.wildcard.org", "second.org"))
SECOND, THIRD = MadeFor("second.org"), MadeFor("*.wildcard.org", ("fourth.wildcard.org",))
FOURTH = MadeFor("fourth.wildcard.org")


async def test_a_request_is_served_on_connections_that_were_made_for_its_host(
    serving: RunningDriver,
) -> None:
    """421 on others, whatever the path; 404 where no host has the name; no name is nobody's."""
    port = free_port()
    handler = ForwardHttp(router=HTTPS, tls=True, splits_names=True)
    async with serving() as driver:
        await serve(
            driver,
            *(SITE.certificate, server_name("*", SITE), listener(port, handler)),
            says("example.org", "one", FIRST),
            says("*", None, FIRST),
            says("second.org", "two", SECOND),
            says("*.wildcard.org", "three", THIRD),
            says("own.wildcard.org", "own", THIRD),
            says("fourth.wildcard.org", "four", FOURTH),
            says("all.org", "all", None),
        )
        for sni, asked, expected in (
            ("example.org", "example.org", "one"),
            ("EXAMPLE.org", "Example.org", "one"),
            ("example.org", "second.org", 421),
            ("example.org", "unknown.org", 404),
            ("example.org", "third.wildcard.org", 421),
            ("example.org", "all.org", "all"),
            ("second.org", "second.org", "two"),
            ("second.org", "example.org", 421),
            ("second.org", "unknown.org", 421),
            ("second.org", "all.org", "all"),
            ("third.wildcard.org", "third.wildcard.org", "three"),
            ("third.wildcard.org", "own.wildcard.org", "own"),
            ("very.deep.wildcard.org", "as.deep.wildcard.org", "three"),
            ("very.deep.wildcard.org", "fourth.wildcard.org", 421),
            ("third.wildcard.org", "second.org", 421),
            ("third.wildcard.org", "unknown.org", 421),
            ("wildcard.org", "third.wildcard.org", 421),
            ("fourth.wildcard.org", "fourth.wildcard.org", "four"),
            ("fourth.wildcard.org", "own.wildcard.org", 421),
            ("unknown.org", "example.org", "one"),
            ("unknown.org", "unknown.org", 404),
            ("", "example.org", "one"),
            ("", "second.org", 421),
            ("", "third.wildcard.org", 421),
            ("", "unknown.org", 404),
        ):
            got = await answers(port, sni, asked)
            wanted = [expected] * 3 if isinstance(expected, str) else [expected] * 4
            assert got[: len(wanted)] == wanted, (sni, asked)


def says(name: str, body: str | None, made_for: MadeFor | None) -> Row:
    """Return a host with a plain route, one that edits, and one whose path is made canonical."""
    edit = HeaderEdit(set=(("x-a", "b"),))
    answer = Respond(status=200, body=body or "")
    routes = (
        route(answer, exact("/exact")),
        route(answer, prefix("/edited"), response_headers=edit),
        route(answer, prefix("/odd")),
    )
    row = host(name, *(routes if body else ()), router=HTTPS)
    return msgspec.structs.replace(row, made_for=made_for)


async def answers(port: int, sni: str, asked: str) -> list[str | int]:
    """Return what paths are answered, one after another; the last one has no route anywhere."""
    got: list[str | int] = []
    async with connected(port, tls=unchecking(), sni=sni) as client:
        for path in ("/exact", "/edited/x", "/odd//x", "/none"):
            spoofed = {"x-envoy-server-name": asked}
            reply = await client.ask(asked, path, headers=spoofed)
            got.append(reply.body if reply.status == 200 else reply.status)
    return got

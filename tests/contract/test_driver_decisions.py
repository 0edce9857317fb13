"""One Model is one decision for each request, whoever carries it out.

Routing tables are made by chance, from names and paths that are near each other, and every data
plane is asked the same questions; those that claim to match by more than paths have routes by
methods, headers and parameters among theirs. What is right says an interpreter of the Model
(`paper`), which was written without a look at any driver.
"""

import itertools
import random
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from onehop.driver.capability import Capability, Extent
from onehop.model.address import Cidr
from onehop.model.listener import Listener
from onehop.model.model import Row, model_of
from onehop.model.route import (
    Conditions,
    Guard,
    Labels,
    PathKind,
    PathMatch,
    Respond,
    Route,
    VirtualHost,
)
from tests.contract.paper import Question, Verdict, answer_on_paper
from tests.contract.planes import MadePlane, Plane, envoy, haproxy, vtm, vtm_other
from tests.driver_envoy.world import (
    Client,
    bring_to,
    connected,
    free_port,
    host,
    listener,
)

SEEDS = (1, 2, 3)
QUESTIONS = 150
CLIENTS = ("127.0.0.5", "127.0.0.9", "127.9.9.9")
OFFICE, INTERN = Cidr("127.0.0.0/24"), Cidr("127.0.0.9/32")
NAMES = ("a.example", "*.a.example", "b.a.example", "*.b.a.example", "*.example", "c.example", "*")
PATHS = ("/", "/a", "/a/b", "/a/bc", "/ab", "/b", "/b/a", "/a-b", "/A")
HEADERS = ((("x-a", "1"),), (("x-a", "1"), ("x-b", "2")), (("x-b", "2"),), (("x-a", "1, 2"),))
QUERIES = ("", "", "?q=/a", "?v=1", "?w=1&v=2", "?v=12", "?xv=1", "?v=2&w=1&x=")
ASKED = (
    *("a.example", "b.a.example", "c.b.a.example", "x.a.example", "x.y.a.example", "d.example"),
    *("c.example", "C.Example", "other.test", "example", "x.c.example"),
)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plane", [envoy, haproxy, vtm, vtm_other], ids=lambda made: made.__name__)
async def test_every_request_is_decided_as_the_model_says(plane: MadePlane, seed: int) -> None:
    """Which host, which path, who is let in; asked hundreds of times."""
    die = random.Random(seed)  # noqa: S311  a die, and always the same one
    async with plane() as running:
        support = running.shortcomings.get(Capability.MATCHES)
        with_more = support is None or support.extent is not Extent.NO
        rows: tuple[Row, ...] = (listener(free_port()), *_hosts(die, with_more=with_more))
        questions = list(_questions(die))
        assert (await bring_to(running.driver, model_of(rows))).refused == ()
        for asked, got in [each async for each in _answers(running, rows, questions)]:
            assert got == _told(answer_on_paper(rows, asked)), asked


def test_the_questions_meet_every_kind_of_answer() -> None:
    """Taken, not found, forbidden: a table that takes everything would prove nothing."""
    for seed, with_more in itertools.product(SEEDS, (False, True)):
        die = random.Random(seed)  # noqa: S311  as above
        rows: tuple[Row, ...] = (listener(80), *_hosts(die, with_more=with_more))
        statuses = {answer_on_paper(rows, asked).status for asked in _questions(die)}
        assert statuses == {200, 403, 404}


async def _answers(
    running: Plane, rows: tuple[Row, ...], questions: list[Question]
) -> AsyncIterator[tuple[Question, tuple[int, str]]]:
    if running.oracle is not None:
        for asked in questions:
            yield asked, _told(running.oracle(rows, asked))
        return
    port = next(row.port for row in rows if isinstance(row, Listener))
    for source in CLIENTS:
        async with connected(port, source=source) as client:
            for asked in questions:
                if asked.source == source:
                    yield asked, await _ask(client, asked)


async def _ask(client: Client, asked: Question) -> tuple[int, str]:
    headers = dict(asked.headers)
    reply = await client.ask(asked.host, asked.path, method=asked.method, headers=headers)
    return reply.status, reply.body if reply.status == 200 else ""


def _told(verdict: Verdict) -> tuple[int, str]:
    return verdict.status, verdict.body if verdict.status == 200 else ""


def _hosts(die: random.Random, *, with_more: bool) -> Iterator[VirtualHost]:
    for name in die.sample(NAMES, 5):
        routes = list(_routes(die, name))
        if with_more and die.random() < 0.8:
            routes = [_particular(die, route) for route in (*routes, *_routes(die, name))]
        yield host(name, *routes)


def _particular(die: random.Random, route: Route) -> Route:
    """Return a route that asks for more, or one that does not."""
    when = Conditions(
        method=die.choice((None, None, "GET", "POST")),
        headers=die.choice(((), (), *HEADERS)),
        queries=die.choice(((), (), (("v", "1"),), (("v", "2"), ("w", "1")))),
    )
    is_call = die.random() < 0.1
    match = PathMatch(PathKind.METHOD, die.choice("ab")) if is_call else route.match
    return msgspec.structs.replace(route, when=when, match=match)


def _routes(die: random.Random, name: str) -> Iterator[Route]:
    """Yield routes, each with a body of its own; the first that fits is to be taken."""
    for number in range(die.randint(1, 6)):
        match = PathMatch(die.choice((PathKind.EXACT, PathKind.PREFIX)), die.choice(PATHS))
        yield Route(
            id=f"{name} {number}",
            owner=None,
            match=match,
            labels=die.choice(list(Labels)) if name.startswith("*.") else Labels.ANY,
            action=Respond(status=200, body=f"{name} {number}"),
            guard=die.choice((Guard(), Guard(), Guard(allow=(OFFICE,), deny=(INTERN,)))),
        )


def _questions(die: random.Random) -> Iterator[Question]:
    for _ in range(QUESTIONS):
        path = die.choice(PATHS) + die.choice(("", "", "/", "/x")) + die.choice(QUERIES)
        name = die.choice(ASKED) + die.choice(("", ":8080"))
        yield Question(
            host=name,
            path=path.replace("//", "/"),
            source=die.choice(CLIENTS),
            method=die.choice(("GET", "GET", "POST", "PUT")),
            headers=dict(die.choice(((), *HEADERS))),
        )

"""What is kept up to date is what rendering from scratch would come to."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.driver.haproxy import HaproxyOptions
from onehop.driver.haproxy.book import Book
from onehop.driver.haproxy.change import (
    identity_commands,
    put_commands,
    reload_reasons,
    remove_commands,
)
from onehop.driver.haproxy.render import render
from onehop.driver.haproxy.rendered import Rendered
from onehop.model.ident import RouterId
from onehop.model.listener import (
    ClientCheck,
    ForwardHttp,
    ForwardTcp,
    Passthrough,
    PortCheck,
    StreamShare,
    TlsChallenge,
)
from onehop.model.model import Row, key_of, model_of
from onehop.model.pool import BackendProtocol, BackendTls, CookiePersistence, SourceIpPersistence
from onehop.model.route import (
    Conditions,
    Forward,
    Guard,
    MadeFor,
    PoolShare,
    RateLimit,
    Respond,
    Retry,
    Route,
)
from tests.driver_envoy.world import (
    HTTP,
    HTTPS,
    SERVICE,
    endpoint,
    exact,
    forward,
    host,
    identity,
    listener,
    members,
    pool,
    prefix,
    route,
    server_name,
)

OPTIONS = HaproxyOptions(state_dir=Path("/state"))
SITES = tuple(identity(name, "a.example") for name in ("one", "two"))
POOLS = tuple(pool(name) for name in ("web", "api"))
BYTES = pool("bytes", protocol=BackendProtocol.TCP)
HOSTS = ("a.example", "b.example", "*.example", "*.b.example", "x.b.example", "*")


def routes() -> st.SearchStrategy[Route]:
    web, api = POOLS
    retried = forward(web, retry=Retry(attempts=3, codes=(503,)))
    split = Forward(pools=(PoolShare(web.id, 9), PoolShare(api.id, 1)))
    limited = Guard(rate_limit=RateLimit(requests=5))
    return st.sampled_from(
        (
            route(forward(web)),
            route(forward(api), prefix("/api")),
            route(retried, prefix("/retried")),
            route(forward(web, retry=Retry(on_silence=True)), prefix("/broken")),
            route(forward(web, retry=Retry(on_silence=True), timeout_s=9), prefix("/timed")),
            route(split, prefix("/split")),
            route(forward(web, rewrite_prefix="/new"), prefix("/old")),
            route(Respond(status=200, body="x"), exact("/x"), hostname="x.b.example"),
            route(forward(web), prefix("/limited"), guard=limited),
            route(forward(api), when=Conditions(method="POST")),
            route(forward(api), prefix("/old"), when=Conditions(headers=(("x-a", "1"),))),
        )
    )


def handlers() -> st.SearchStrategy[ForwardHttp | ForwardTcp]:
    ca = SITES[0].chain_pem
    check = ClientCheck(hostname="a.example", router=HTTP, ca_pem=ca)
    challenge = TlsChallenge(hostname="b.example", certificate=SITES[1].certificate.id)
    passed = Passthrough(hostname="p.example", owner=SERVICE, pool=BYTES.id)
    parts = (StreamShare(BYTES.id, 3), StreamShare(None, 1))
    shared = msgspec.structs.replace(passed, shares=parts, idle_timeout_s=5000.0)
    ended = Passthrough(
        hostname="*.p.example",
        owner=SERVICE,
        pool=BYTES.id,
        shares=parts,
        ends_tls=True,
        any_depth=True,
        exceptions=("a.p.example",),
    )
    return st.sampled_from(
        (
            ForwardHttp(router=HTTP),
            ForwardHttp(router=HTTPS, tls=True),
            ForwardHttp(router=HTTPS, tls=True, splits_names=True),
            ForwardHttp(router=HTTPS, tls=True, client_checks=(check,)),
            ForwardHttp(router=HTTPS, tls=True, clients=PortCheck(ca_pem=ca)),
            ForwardHttp(router=HTTPS, tls=True, challenges=(challenge,)),
            ForwardHttp(router=HTTPS, tls=True, passthroughs=(passed,)),
            ForwardHttp(router=HTTPS, tls=True, passthroughs=(ended, shared)),
            ForwardTcp(pool=BYTES.id),
            ForwardTcp(pool=BYTES.id, shares=parts),
            ForwardTcp(pool=BYTES.id, idle_timeout_s=7200),
        )
    )


def made_fors() -> st.SearchStrategy[MadeFor | None]:
    wild = MadeFor("*.example", ("*.b.example", "x.b.example"))
    return st.sampled_from((None, MadeFor("a.example"), wild, MadeFor("*", ("*.example",))))


def _host(name: str, found: list[Route], router: RouterId, made_for: MadeFor | None) -> Row:
    return msgspec.structs.replace(host(name, *found, router=router), made_for=made_for)


def rows() -> st.SearchStrategy[Row]:
    """Return rows of few keys, so that one meets another again and again."""
    kept = (CookiePersistence(name="a"), SourceIpPersistence())
    shown = pool("api", tls=BackendTls(client=SITES[0].certificate.id))
    pools = (*POOLS, *(pool("web", persistence=each) for each in kept), shown, BYTES)
    certificates = [site.certificate for site in SITES]
    swapped = msgspec.structs.replace(certificates[0], chain_pem=certificates[1].chain_pem)
    return st.one_of(
        st.builds(
            _host,
            st.sampled_from(HOSTS),
            st.lists(routes(), max_size=3),
            st.sampled_from((HTTP, HTTPS)),
            made_fors(),
        ),
        st.builds(listener, st.sampled_from((80, 443)), handlers()),
        st.sampled_from(pools),
        st.builds(members, st.sampled_from(pools), st.builds(endpoint, st.integers(1, 3))),
        st.sampled_from((*certificates, swapped)),
        st.builds(
            server_name, st.sampled_from(("a.example", "*.example", "*")), st.sampled_from(SITES)
        ),
    )


EDITS = st.lists(st.tuples(st.booleans(), rows()), max_size=30)


@given(EDITS, st.lists(st.booleans(), min_size=30, max_size=30))
@settings(max_examples=300, deadline=None)
def test_what_was_edited_is_what_would_be_rendered(
    edits: list[tuple[bool, Row]], pauses: list[bool]
) -> None:
    """For any edits in any order, settled one by one or many at once."""
    book = Book(OPTIONS)
    for (is_there, row), settles in zip(edits, pauses, strict=False):
        if is_there:
            book.put(row)
        else:
            book.remove(key_of(row))
        if settles:
            book.settle()
    book.settle()

    assert book.rendered == render(model_of(book.rows.values()), OPTIONS)


@given(EDITS)
@settings(max_examples=300, deadline=None)
def test_what_was_touched_is_all_that_differs(edits: list[tuple[bool, Row]]) -> None:
    """Reasons and commands are those that a comparison of everything would find."""
    book = Book(OPTIONS)
    book.settle()
    for is_there, row in edits:
        before = book.rendered.copy()
        if is_there:
            book.put(row)
        else:
            book.remove(key_of(row))
        touched = book.settle()

        part = touched.cut(before), touched.cut(book.rendered)
        assert reload_reasons(*part) == reload_reasons(before, book.rendered)
        assert told(*part) == told(before, book.rendered)


def told(have: Rendered, want: Rendered) -> list[str]:
    put = (*identity_commands(have, want), *put_commands(have, want))
    return sorted(_lines((*put, *remove_commands(have, want))))


def _lines(commands: tuple[str, ...]) -> Iterator[str]:
    for command in commands:
        yield from command.splitlines()

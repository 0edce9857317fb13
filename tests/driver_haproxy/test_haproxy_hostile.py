"""Text that means something to HAProxy, in every field of the Model that holds text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onehop.driver.haproxy import HaproxyOptions, word
from onehop.driver.haproxy.change import put_commands, remove_commands
from onehop.driver.haproxy.choice import CHOICES_HERE, CHOSEN_HERE
from onehop.driver.haproxy.http import POLICIES_HERE, WILDCARDS_HERE
from onehop.driver.haproxy.render import render, why_not
from onehop.driver.haproxy.rendered import Rendered
from onehop.model.certificate import Certificate, SecretText
from onehop.model.ident import PoolId
from onehop.model.listener import ClientCheck, ForwardHttp, Passthrough, TlsChallenge
from onehop.model.model import Model, Row, model_of
from onehop.model.pool import (
    BackendTls,
    CookiePersistence,
    HeaderPersistence,
    HealthCheck,
    Pool,
)
from onehop.model.route import (
    Conditions,
    Cors,
    Forward,
    HeaderEdit,
    PathKind,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
)
from tests.driver_envoy.world import (
    HTTPS,
    SERVICE,
    endpoint,
    host,
    identity,
    listener,
    members,
    pool,
    route,
    server_name,
)
from tests.driver_haproxy.world import complaints

pytestmark = pytest.mark.haproxy

EVIL = (
    "x\n    http-request return status 200",
    "x\r\nset-cookie: a=b",
    "x' 'y",
    'x" "y',
    "x\\",
    "x y",
    "x;del map",
    "x #",
    "%[env(HOME)]",
    "${HOME}",
    "\0",
    "x\x7f",
    "é",
    "../../etc/passwd",
    "<<",
    "*",
    "",
    "a:b:c",
    "x" * 5000,
    "x\n\nshow env\n",
)
OPTIONS = HaproxyOptions(state_dir=Path("/state"))
SITE = identity("site", "a.example")


def rows_with(evil: str) -> Iterator[Row]:
    """Yield rows with hostile text, one field at a time."""
    web = pool()
    yield msgspec.structs.replace(web, id=PoolId(evil))
    pools: tuple[dict[str, Any], ...] = (
        {"tls": BackendTls(ca_pem=evil)},
        {"tls": BackendTls(server_name=evil)},
        {"persistence": CookiePersistence(name=evil)},
        {"persistence": CookiePersistence(name="a", path=evil)},
        {"persistence": CookiePersistence(name="a", same_site=evil)},
        {"persistence": HeaderPersistence(name=evil)},
        {"health_check": HealthCheck(http_path=evil)},
        {"health_check": HealthCheck(http_path="/", http_host=evil)},
    )
    for number, fields in enumerate(pools):
        yield pool(f"web{number}", **fields)
    to = Forward(pools=(PoolShare(PoolId(evil)),))
    routes: tuple[dict[str, Any], ...] = (
        {"action": to, "match": PathMatch(PathKind.EXACT, evil)},
        {"action": to, "match": PathMatch(PathKind.PREFIX, evil)},
        {"action": to, "hostname": evil},
        {"action": Forward(pools=(PoolShare(web.id),), rewrite_prefix=evil)},
        {"action": Respond(status=200, body=evil)},
    )
    edits = [HeaderEdit(remove=(evil,))]
    for pair in ((evil, "x"), ("x", evil)):
        edits += [HeaderEdit(set=(pair,)), HeaderEdit(add=(pair,))]
    routes += tuple({"action": to, "request_headers": each} for each in edits)
    routes += tuple({"action": to, "response_headers": each} for each in edits)
    routes += tuple({"action": to, **fields} for fields in _particulars(evil))
    routes += tuple({"action": action} for action in _actions(evil, web))
    for number, fields in enumerate(routes):
        yield host(f"*.h{number}.example", route(**fields))
    yield host(evil, route(to))
    yield from _listeners(evil)
    yield server_name(evil, SITE)
    yield Certificate(
        id=SITE.certificate.id,
        chain_pem=evil,
        key_pem=SecretText(evil),
        fingerprint=evil,
        not_after=0,
    )


def _particulars(evil: str) -> Iterator[dict[str, Any]]:
    yield {"match": PathMatch(PathKind.METHOD, evil)}
    yield {"when": Conditions(method=evil)}
    for pair in ((evil, "x"), ("x", evil)):
        yield {"when": Conditions(headers=(pair,))}
        yield {"when": Conditions(queries=(pair,))}
    yield from ({"cors": cors} for cors in (Cors(origins=(evil,)), Cors(methods=(evil,))))
    yield from ({"cors": cors} for cors in (Cors(headers=(evil,)), Cors(exposed=(evil,))))


def _actions(evil: str, web: Pool) -> Iterator[Forward | Redirect]:
    yield from (Redirect(host=evil), Redirect(path=evil), Redirect(prefix=evil))
    shares = (PoolShare(web.id),)
    yield from (Forward(pools=shares, rewrite_path=evil), Forward(pools=shares, rewrite_host=evil))
    for pair in ((evil, "x"), ("x", evil)):
        edit = HeaderEdit(set=(pair,))
        yield Forward(pools=(PoolShare(web.id, 1, edit, edit), PoolShare(PoolId("other"))))


def _listeners(evil: str) -> Iterator[Row]:
    ca = SITE.chain_pem
    fields: tuple[dict[str, Any], ...] = (
        {"client_checks": (ClientCheck(hostname=evil, router=HTTPS, ca_pem=ca),)},
        {"client_checks": (ClientCheck(hostname="a.example", router=HTTPS, ca_pem=evil),)},
        {"challenges": (TlsChallenge(hostname=evil, certificate=SITE.certificate.id),)},
        {"passthroughs": (Passthrough(hostname=evil, owner=SERVICE, pool=PoolId(evil)),)},
        {
            "passthroughs": (
                Passthrough(hostname="*.b.example", owner=SERVICE, pool=None, exceptions=(evil,)),
            )
        },
    )
    for number, each in enumerate(fields):
        yield listener(1000 + number, ForwardHttp(router=HTTPS, tls=True, **each))


_MARKS = {*POLICIES_HERE.values(), WILDCARDS_HERE, CHOICES_HERE, *CHOSEN_HERE.values()}
"""Where rules are put in when the file is written."""


def words(line: str) -> int:
    """Count the words of a line as HAProxy's manual says it reads them; quotes must be closed."""
    count, is_open, is_word = 0, False, False
    for character in line:
        if character == "'":
            is_open, is_word = not is_open, True
        elif character == " " and not is_open:
            count, is_word = count + is_word, False
        else:
            assert is_open or character not in '"#\\\t', line
            is_word = True
    assert not is_open, line
    return count + is_word


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_hostile_text_is_refused_or_quoted(evil: str) -> None:
    """No line more than for harmless text, no word more in a line, no entry more in a map."""
    for row, usual in zip(rows_with(evil), rows_with("x"), strict=True):
        if why_not(row, OPTIONS) is not None:
            continue
        rendered = render(_around(row), OPTIONS)
        lines = [each for section in rendered.sections.values() for each in section]
        lines += [each for rules in rendered.rules.values() for each in rules]
        lines += list(rendered.sections)
        assert all("\n" not in line and "\r" not in line for line in lines)
        counted = [words(line.replace("'\\''", "")) for line in lines if line not in _MARKS]
        if evil != "*" and why_not(usual, OPTIONS) is None and not isinstance(row, Pool):
            assert sum(counted) == sum(_counted(render(_around(usual), OPTIONS)))
        entries = [(k, v) for each in rendered.maps.values() for k, v in each.items()]
        assert all(text.split() == [text] for entry in entries for text in entry if text)
        for each in rendered.lists.values():
            assert all("\n" not in line.text for line in each.values())
        for path in (*rendered.files, *rendered.lists):
            assert path.startswith("/state/")
            assert ".." not in path.split("/")
        assert all("\n\n" not in text for text in rendered.files.values())


def _counted(rendered: Rendered) -> Iterator[int]:
    for section in (*rendered.sections.values(), *rendered.rules.values()):
        for line in section:
            if line not in _MARKS:
                yield words(line.replace("'\\''", ""))
    for first in rendered.sections:
        yield words(first)


def _around(row: Row) -> Model:
    rest: tuple[Row, ...] = (
        listener(80),
        listener(443, ForwardHttp(router=HTTPS, tls=True)),
        SITE.certificate,
        server_name("a.example", SITE),
    )
    more = (members(row, endpoint(1)),) if isinstance(row, Pool) else ()
    return model_of((*rest, row, *more))


@pytest.mark.parametrize("evil", [EVIL[0], "x' \"%[src]${HOME} # \\ ;", "%"], ids=ascii)
def test_haproxy_reads_what_was_quoted(evil: str) -> None:
    """All fields at once, but for certificates and CAs that are none: these HAProxy refuses."""
    rows = [
        row
        for row in rows_with(evil)
        if not isinstance(row, Certificate)
        and evil not in str(getattr(row, "tls", ""))
        and evil not in str(getattr(row, "handler", ""))
    ]

    assert complaints(model_of(rows)) == ""


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_commands_of_the_runtime_api_hold_no_more_than_they_say(evil: str) -> None:
    """A payload has no empty line, and what is escaped is no separator."""
    nothing = render(_around(listener(80)), OPTIONS)
    for row in rows_with(evil):
        if why_not(row, OPTIONS) is None:
            want = render(_around(row), OPTIONS)
            told = (*put_commands(nothing, want), *remove_commands(want, nothing))
            for command in told:
                first, has_payload, payload = command.partition("<<\n")
                assert "\n" not in first
                assert "\n\n" not in payload
                assert not has_payload or payload.endswith("\n")


def test_an_argument_is_escaped() -> None:
    """The manual: a space, a backslash, a semicolon."""
    assert word.argument("a b;c\\d") == "a\\ b\\;c\\\\d"
    with pytest.raises(word.Unfit):
        word.argument("a\nb")

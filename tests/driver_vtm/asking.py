"""Rows as rules, and requests that are put to them."""

from collections.abc import Mapping

import msgspec

from onehop.driver.vtm.render import render_model
from onehop.lab.vtm.functions import Answer, Outcome, Request, UsePool
from onehop.lab.vtm.trafficscript import run_request_rule, run_response_rule
from onehop.model.listener import Listener
from onehop.model.model import Row, model_of
from onehop.model.route import VirtualHost
from tests.driver_vtm.stage import NAMES, OWNER, listener, members, pool

WEB, API = pool("web"), pool("api")
RULE = NAMES.name("listener-80")


def rules(
    *hosts: VirtualHost, entrance: Listener | None = None, pools: tuple[Row, ...] = ()
) -> dict[str, str]:
    rows = (WEB, API, *pools, members(WEB, 1), entrance or listener(), *hosts)
    rendered: dict[str, str] = render_model(model_of(rows), owner=OWNER)["rules"]
    return rendered


def ask(
    text: str,
    url: str = "/",
    host: str = "a.example",
    headers: Mapping[str, str] | None = None,
    **fields: object,
) -> Outcome:
    return run_request_rule(text, request(url, host, headers, **fields))


def request(
    url: str = "/",
    host: str = "a.example",
    headers: Mapping[str, str] | None = None,
    **fields: object,
) -> Request:
    plain = Request(url=url, headers={"host": host, **(headers or {})})
    return msgspec.structs.replace(plain, **fields)


def redirected(outcome: Outcome) -> tuple[int, str]:
    """Return the code and the Location of a redirect."""
    assert isinstance(outcome, Answer)
    return outcome.status, dict(outcome.headers)["Location"]


def respond(
    texts: Mapping[str, str], asked: Request, headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the headers of an endpoint's answer after both rules, names in lower case."""
    outcome = run_request_rule(texts[RULE], asked)
    assert isinstance(outcome, UsePool)
    answered = dict(headers or {})
    (response,) = (text for key, text in texts.items() if key != RULE)
    run_response_rule(response, asked, answered)
    return answered


def status(outcome: Outcome) -> int:
    assert isinstance(outcome, Answer)
    return outcome.status


def name(of: object) -> str:
    assert isinstance(of, UsePool)
    return "web" if of.pool == NAMES.name(WEB.id) else "api"

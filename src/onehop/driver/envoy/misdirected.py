"""Hosts that are served on connections for certain names only.

Envoy chooses a route by what a request says, and what the handshake said is not among it. So the
name in the handshake is written into a header before a route is chosen, over whatever the client
has put there, and taken off before an application sees it.
"""

from collections.abc import Iterable
from typing import Any, Final

from onehop.model.route import MadeFor

SERVER_NAME: Final = "x-envoy-server-name"
"""Clients cannot say it: all of `x-envoy-` is taken off first (see `http`)."""

MUTATION: Final[dict[str, Any]] = {
    "append": {
        "header": {"key": SERVER_NAME, "value": "%REQUESTED_SERVER_NAME%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
}
"""What puts it there, in the terms of Envoy's header mutations."""

_MISDIRECTED: Final = {
    "status": 421,
    "body": {"inline_string": "this connection was not made for this host\n"},
}


def misdirected_routes(name: str, made_for: MadeFor) -> Iterable[dict[str, Any]]:
    """Yield the routes that go before all others, for requests on other connections."""
    if made_for.hostname != "*":
        yield _route(name, made_for.hostname, invert_match=True)
    yield from (_route(name, each) for each in made_for.exceptions)


def _route(name: str, hostname: str, **fields: bool) -> dict[str, Any]:
    is_wild = hostname.startswith("*.")
    wanted = {"suffix": hostname[1:]} if is_wild else {"exact": hostname}
    header = {
        "name": SERVER_NAME,
        "string_match": {**wanted, "ignore_case": True},
        "treat_missing_header_as_empty": True,  # without a name, it is none of these
        **fields,
    }
    return {
        "name": name,
        "match": {"prefix": "/", "headers": [header]},
        "direct_response": _MISDIRECTED,
    }

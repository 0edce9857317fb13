"""Redirects, with the port right on usual and unusual ports."""

from typing import Any, Final

from onehop.driver.envoy.path import render_rewrite
from onehop.model.route import PathMatch, Redirect

_CODES: Final = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_OTHER_SCHEME: Final = {"http": "https", "https": "http"}


def render_redirect(
    redirect: Redirect, match: PathMatch
) -> list[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Return pairs of further header matches and the RedirectAction for them, in order.

    A default port is not written into the Location (`https://a.example/`, not `...:443/`). Envoy
    drops the default port of the old scheme by itself; but a client that asked for `a.example:8080`
    needs the new port said, or it would keep its own. So there are two routes in that case.
    """
    plain: dict[str, Any] = {"response_code": _CODES[redirect.code], **_path(redirect, match)}
    if redirect.scheme is not None:
        plain["scheme_redirect"] = redirect.scheme
    if redirect.host is not None:
        plain["host_redirect"] = redirect.host
    if redirect.port is None:
        return [([], plain)]
    said = {**plain, "port_redirect": redirect.port}
    if redirect.scheme is None or redirect.port != _DEFAULT_PORT[redirect.scheme]:
        return [([], said)]
    if redirect.host is not None:
        return [([], plain)]  # the client's port goes with its host
    dropped_anyway = _DEFAULT_PORT[_OTHER_SCHEME[redirect.scheme]]
    asks_for_a_port: list[dict[str, Any]] = [
        {"name": ":authority", "string_match": {"safe_regex": {"regex": ".*:[0-9]+"}}},
        {
            "name": ":authority",
            "string_match": {"suffix": f":{dropped_anyway}"},
            "invert_match": True,
        },
    ]
    return [(asks_for_a_port, said), ([], plain)]


def _path(redirect: Redirect, match: PathMatch) -> dict[str, Any]:
    if redirect.path is not None:
        return {"path_redirect": redirect.path}
    return render_rewrite(match, redirect.prefix) if redirect.prefix is not None else {}

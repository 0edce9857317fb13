"""Paths: what a route takes, and what it turns them into."""

import re
from typing import Any

from onehop.model.route import PathKind, PathMatch


def render_path(match: PathMatch) -> dict[str, Any]:
    """Return the path part of a RouteMatch.

    `path_separated_prefix` compares element by element, as Ingress v1 demands; it may not be `/`.
    """
    if match.kind is PathKind.EXACT:
        return {"path": match.value}
    if match.kind is PathKind.METHOD:
        return {"safe_regex": {"regex": f"/[^/]+/{re.escape(match.value)}"}}
    if match.value == "/":
        return {"prefix": "/"}
    return {"path_separated_prefix": match.value}


def render_whole(replacement: str) -> dict[str, Any]:
    r"""Return the part of an action that puts `replacement` in place of the whole path.

    The query stays. A path has no backslash in it, and so refers to no group of the pattern.
    """
    substitution = replacement.replace("\\", "\\\\")
    return {"regex_rewrite": {"pattern": {"regex": "^/.*$"}, "substitution": substitution}}


def render_rewrite(match: PathMatch, replacement: str) -> dict[str, Any]:
    """Return the part of an action that puts `replacement` in place of what matched.

    Envoy's `prefix_rewrite` glues strings together. With `/` on either side that would give
    `//bar` or `/newbar`, so each of those edges is rendered on its own:

    ============ ========= =============== ===================
    match        becomes   `/foo` gives    `/foo/bar` gives
    ============ ========= =============== ===================
    prefix /foo  /new      /new            /new/bar
    prefix /foo  /         /               /bar
    prefix /     /new      /new/foo        /new/foo/bar
    exact /foo   /new      /new
    ============ ========= =============== ===================
    """
    if match.kind is PathKind.EXACT:
        return {"prefix_rewrite": replacement or "/"}
    base = replacement.rstrip("/")
    if match.value == "/":
        return {"prefix_rewrite": f"{base}/"}
    if base:
        return {"prefix_rewrite": base}
    pattern = f"^{re.escape(match.value)}/*"
    return {"regex_rewrite": {"pattern": {"regex": pattern}, "substitution": "/"}}

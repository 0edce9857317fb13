"""What the response rule does for a route: headers of answers of endpoints are edited.

A rule's own answers carry theirs already.
"""

from collections.abc import Iterator

from onehop.driver.vtm import cors
from onehop.driver.vtm.edit import response_edits
from onehop.driver.vtm.mark import MARK, mark_of, share_mark
from onehop.driver.vtm.share import NO_EDIT, shares_of
from onehop.model.route import Forward, Route, VirtualHost


def mark_lines(host: VirtualHost, route: Route) -> Iterator[str]:
    """Yield how the request rule tells that a route was taken, where that has to be known."""
    if _edited_shares(host, route):
        yield f'http.setHeader( "{MARK}", $mark );'
    elif any(_lines(route)):
        yield f'http.setHeader( "{MARK}", "{mark_of(host, route)}" );'


def takes_page(route: Route) -> bool:
    """Tell whether the response rule has to know the page that asks."""
    return route.cors is not None and isinstance(route.action, Forward)


def response_lines(host: VirtualHost, route: Route) -> Iterator[str]:
    """Yield the statements of the response rule, where `$route` is the mark.

    Edits for one of several pools come before the route's own, as in requests; what pages may do
    comes last.
    """
    shares = _edited_shares(host, route)
    for mark, edits in shares.items():
        yield from _block(f'$route == "{mark}"', edits)
    mark = mark_of(host, route)
    is_it = f'string.startsWith( $route, "{mark}" )' if shares else f'$route == "{mark}"'
    yield from _block(is_it, list(_lines(route)))


def _block(condition: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"if( {condition} ) {{"
        yield from (f"  {line}" for line in lines)
        yield "}"


def _lines(route: Route) -> Iterator[str]:
    if isinstance(route.action, Forward):
        yield from response_edits(route.response_headers)
        if route.cors is not None:
            yield from cors.response_lines(route.cors)


def _edited_shares(host: VirtualHost, route: Route) -> dict[str, list[str]]:
    """Return the edits of answers by the mark of those shares that have any."""
    if not isinstance(route.action, Forward):
        return {}
    mark = mark_of(host, route)
    return {
        share_mark(mark, share): list(response_edits(share.response_headers))
        for share in shares_of(route.action)
        if share.response_headers != NO_EDIT
    }

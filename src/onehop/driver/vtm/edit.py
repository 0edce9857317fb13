"""Headers, edited as a route or one of its shares wants.

What is added to requests becomes a line of its own, what is added to answers is appended to the
value (`http.addHeader`, `http.addResponseHeader`).
"""

from collections.abc import Iterator

from onehop.driver.vtm.quote import quoted
from onehop.model.route import HeaderEdit


def request_edits(edit: HeaderEdit) -> Iterator[str]:
    """Yield the statements of a request rule."""
    yield from (f"http.removeHeader( {quoted(name)} );" for name in edit.remove)
    yield from (f"http.setHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.set)
    yield from (f"http.addHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.add)


def response_edits(edit: HeaderEdit) -> Iterator[str]:
    """Yield the statements of a response rule."""
    yield from (f"http.removeResponseHeader( {quoted(name)} );" for name in edit.remove)
    yield from (f"http.setResponseHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.set)
    yield from (f"http.addResponseHeader( {quoted(n)}, {quoted(v)} );" for n, v in edit.add)

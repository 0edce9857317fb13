"""Headers, edited as a route or one of its shares wants."""

from collections.abc import Iterator

from onehop.driver.haproxy import word
from onehop.model.route import HeaderEdit


def request_edits(edit: HeaderEdit, when: str) -> Iterator[str]:
    """Yield the edits of requests.

    Raises:
        Unfit: a name or a value cannot be said to HAProxy.
    """
    yield from _edits("http-request", edit, when)


def response_edits(edit: HeaderEdit, when: str) -> Iterator[str]:
    """Yield the edits of answers, our own ones included: hence "after" the response.

    Raises:
        Unfit: a name or a value cannot be said to HAProxy.
    """
    yield from _edits("http-after-response", edit, when)


def _edits(ruleset: str, edit: HeaderEdit, when: str) -> Iterator[str]:
    yield from (f"{ruleset} del-header {word.header(name)} {when}" for name in edit.remove)
    for verb, pairs in (("set-header", edit.set), ("add-header", edit.add)):
        for name, value in pairs:
            said = word.quoted(word.literal(value))
            yield f"{ruleset} {verb} {word.header(name)} {said} {when}"

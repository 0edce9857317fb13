"""Lists in pages, and where a list or a watch begins.

The rules of resourceVersion, resourceVersionMatch, limit, continue and sendInitialEvents:
https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions and KEP-3157.
"""

import base64
import binascii
from bisect import bisect_right
from operator import attrgetter

import msgspec

from onehop.lab.api.refusal import (
    FieldFault,
    Refused,
    bad_request,
    expired,
    forbidden,
    unprocessable,
    unsupported,
)
from onehop.lab.api.resource import Key
from onehop.lab.api.selector import Selection
from onehop.lab.api.stored import Stored

NEWEST = -1
"""In a continue token: go on in the newest state, the snapshot is gone."""


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a list asks for, as the query string says it; "" is what was not said."""

    selection: Selection = Selection()
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""


class WatchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a watch asks for.

    Attributes:
        send_initial: None when it was not said.
        state_at: begin with the state of an older revision, and go on with what happened since,
            as a replica that lags behind does; None for no such thing.
    """

    selection: Selection = Selection()
    resource_version: str = ""
    match: str = ""
    send_initial: bool | None = None
    state_at: int | None = None


class Page(msgspec.Struct, frozen=True):
    """One answer to a list.

    Attributes:
        revision: the resourceVersion of the whole list, the same on each of its pages.
        continue_token: "" on the last page.
        remaining: how many objects follow; None when a selector makes that a guess.
    """

    items: list[Stored]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


class Continue(msgspec.Struct, frozen=True):
    """What a continue token says: go on after `last`, in the state of `revision`."""

    revision: int
    last: Key

    def encode(self) -> str:
        """Return the token, opaque to clients as the real one."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()


def decode_continue(token: str) -> Continue:
    """Return what a token says; refuse with 400 one that is not ours."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=Continue)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


def revision_of(text: str) -> int:
    """Return a resourceVersion as a number; refuse with 400 what is none."""
    if not text.isdigit():
        raise bad_request(f"Invalid value: {text!r}: the resourceVersion is no number")
    return int(text)


def snapshot_of(query: ListQuery, newest: int) -> int:
    """Return the revision whose state answers the list; `newest` unless an older one is asked for.

    Refuses with 422 what contradicts itself, with 504 a revision that is not there yet.
    """
    if query.continue_token:
        if query.match or query.resource_version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        revision = decode_continue(query.continue_token).revision
        return newest if revision == NEWEST else revision
    _check_match(query)
    if query.resource_version in ("", "0"):
        return newest
    revision = revision_of(query.resource_version)
    if revision > newest:
        raise too_large(revision, newest)
    return revision if query.match == "Exact" else newest


def cut_page(found: list[Stored], query: ListQuery, revision: int) -> Page:
    """Return the page of `found`, which is sorted by key, that the query asks for.

    A list at resourceVersion 0 ignores its limit: the real server answers it from its cache.
    """
    if query.continue_token:
        last = decode_continue(query.continue_token).last
        found = found[bisect_right(found, last, key=attrgetter("key")) :]
    selection = query.selection
    if not selection.is_everything:
        found = [each for each in found if selection.accepts(each)]
    limit = 0 if query.resource_version == "0" and not query.continue_token else query.limit
    if not limit or len(found) <= limit:
        return Page(found, revision)
    token = Continue(revision, found[limit - 1].key).encode()
    counts = not selection.labels and not selection.fields
    return Page(found[:limit], revision, token, len(found) - limit if counts else None)


def expired_continue(token: str, revision: int) -> Refused:
    """410 for a page whose snapshot is gone; carries a token for the newest state."""
    fresh = Continue(NEWEST, decode_continue(token).last).encode()
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        f"response to retrieve the remainder of the results (snapshot {revision})."
    )
    return expired(message, fresh_continue=fresh)


def check_watch(query: WatchQuery) -> None:
    """Refuse with 422 a watch whose options contradict each other."""
    if query.match and query.send_initial is None:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise _bad_options(forbidden("resourceVersionMatch", why))
    if query.send_initial is not None and query.match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise _bad_options(forbidden("resourceVersionMatch", why))


def too_large(asked: int, newest: int) -> Refused:
    """504: the revision is in the future; clients wait and ask again."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return Refused(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {newest}",
        details={"causes": [cause], "retryAfterSeconds": 1},
        retry_after_s=1,
    )


def _check_match(query: ListQuery) -> None:
    if not query.match:
        return
    if not query.resource_version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _bad_options(forbidden("resourceVersionMatch", why))
    if query.match not in ("Exact", "NotOlderThan"):
        raise _bad_options(
            unsupported("resourceVersionMatch", query.match, ("Exact", "NotOlderThan"))
        )
    if query.match == "Exact" and query.resource_version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        raise _bad_options(forbidden("resourceVersionMatch", why))


def _bad_options(fault: FieldFault) -> Refused:
    return unprocessable("", [fault], kind="ListOptions", group="meta.k8s.io")

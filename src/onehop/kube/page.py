"""Decoding one page of a list, and refusing everything that only looks like one.

An empty list deletes things, so it must be said in full: an answer without `items`, without a
resourceVersion or of another kind is a fault of the server or of a proxy, never "nothing there".
"""

from typing import Final

import msgspec

from onehop.base.errors import KubeUnavailable


class Page(msgspec.Struct, frozen=True):
    """Part of a list.

    Attributes:
        items: still encoded, so that the caller decodes only what it does not know yet.
        resource_version: the moment the whole list was taken, the same on each of its pages.
        next_token: the `continue` of the next page; empty on the last one.
    """

    items: tuple[msgspec.Raw, ...]
    resource_version: str
    next_token: str


class _ListMeta(
    msgspec.Struct,
    frozen=True,
    rename={
        "resource_version": "resourceVersion",
        "next_token": "continue",
        "remaining": "remainingItemCount",
    },
):
    resource_version: str = ""
    next_token: str = ""
    remaining: int | None = None


class _ListBody(msgspec.Struct, frozen=True):
    items: tuple[msgspec.Raw, ...] | None
    kind: str = ""
    metadata: _ListMeta = _ListMeta()


_LIST: Final = msgspec.json.Decoder(_ListBody)


def decode_page(body: bytes, *, kind: str) -> Page:
    """Decode a page of a list of `kind`.

    Raises:
        KubeUnavailable: the body is cut short, or is not such a list.
    """
    try:
        answer = _LIST.decode(body)
    except msgspec.DecodeError as error:
        raise KubeUnavailable(f"list {kind}: the answer is cut or is no list: {error}") from error
    if answer.kind != f"{kind}List":
        raise KubeUnavailable(f"list {kind}: the answer is a {answer.kind[:40] or 'nameless'!r}")
    if not answer.metadata.resource_version:
        raise KubeUnavailable(f"list {kind}: the answer has no resourceVersion")
    if answer.metadata.remaining and not answer.metadata.next_token:
        raise KubeUnavailable(
            f"list {kind}: {answer.metadata.remaining} objects are to follow, but not from where"
        )
    # `"items": null` is how a Go server may encode an empty slice.
    return Page(
        items=answer.items or (),
        resource_version=answer.metadata.resource_version,
        next_token=answer.metadata.next_token,
    )

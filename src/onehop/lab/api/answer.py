"""From a call to an answer: every verb but watch, without a connection.

Lists and single objects are joins of bytes that the Store holds already; only tables are made anew.
"""

from datetime import datetime

import msgspec

from onehop.lab.api.call import Call, Target, table_style
from onehop.lab.api.option import WriteOptions
from onehop.lab.api.page import ListQuery, Page, WatchQuery
from onehop.lab.api.patching import PatchType
from onehop.lab.api.printing import table
from onehop.lab.api.refusal import Json, Refused, bad_request, no_such_path
from onehop.lab.api.selector import Selection, parse_selection
from onehop.lab.api.store import Store
from onehop.lab.api.stored import Stored


class Answer(msgspec.Struct, frozen=True):
    """What goes back to the client."""

    code: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(content: object, code: int = 200) -> Answer:
    """Return an answer of JSON."""
    return Answer(code, msgspec.json.encode(content) + b"\n")


def refusal_answer(refused: Refused) -> Answer:
    """Return a refusal as its `Status` object."""
    answer = json_answer(refused.status, refused.code)
    if refused.retry_after_s is None:
        return answer
    return msgspec.structs.replace(answer, headers=(("Retry-After", str(refused.retry_after_s)),))


def list_query(call: Call, target: Target) -> ListQuery:
    """Return what a list asks for."""
    return ListQuery(
        selection=selection_of(call, target),
        limit=max(0, call.number("limit")),
        continue_token=call.query.get("continue", ""),
        resource_version=call.query.get("resourceVersion", ""),
        match=call.query.get("resourceVersionMatch", ""),
    )


def watch_query(call: Call, target: Target) -> WatchQuery:
    """Return what a watch asks for."""
    return WatchQuery(
        selection=selection_of(call, target),
        resource_version=call.query.get("resourceVersion", ""),
        match=call.query.get("resourceVersionMatch", ""),
        send_initial=call.flag("sendInitialEvents") if "sendInitialEvents" in call.query else None,
    )


def selection_of(call: Call, target: Target) -> Selection:
    """Return which objects a call on a collection means; a name in the path narrows it too."""
    fields = call.query.get("fieldSelector", "")
    if target.name:
        fields = ",".join(filter(None, (fields, f"metadata.name={target.name}")))
    return parse_selection(
        target.resource, target.namespace or None, call.query.get("labelSelector", ""), fields
    )


def list_answer(target: Target, page: Page, call: Call, now: datetime) -> Answer:
    """Return a page of objects, as a list or as a table."""
    metadata: Json = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    resource = target.resource
    style = table_style(call)
    if style is not None:
        return json_answer(table(resource, page.items, metadata=metadata, style=style, now=now))
    head = (
        f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":'.encode()
    )
    items = b",".join([stored.item(resource) for stored in page.items])
    parts = (head, msgspec.json.encode(metadata), b',"items":[', items, b"]}\n")
    return Answer(200, b"".join(parts))


def object_answer(
    target: Target, stored: Stored, call: Call, *, now: datetime, code: int = 200
) -> Answer:
    """Return one object, as itself or as a table of one row."""
    style = table_style(call)
    if style is None:
        return Answer(code, stored.whole(target.resource) + b"\n")
    metadata = {"resourceVersion": str(stored.revision)}
    return json_answer(
        table(target.resource, [stored], metadata=metadata, style=style, now=now), code
    )


def answer_write(store: Store, call: Call, target: Target, verb: str, now: datetime) -> Answer:
    """Do a create, update, patch, delete or deletecollection, and return its answer."""
    resource, key = target.resource, (target.namespace, target.name)
    options = WriteOptions(
        dry_run=call.is_dry_run,
        manager=call.manager,
        force=call.flag("force"),
        subresource=target.subresource,
    )
    match verb:
        case "create":
            stored = store.create(resource, _namespace_for_create(target), call.content(), options)
            return object_answer(target, stored, call, now=now, code=201)
        case "update":
            stored = store.update(resource, key, call.content(), options)
            return object_answer(target, stored, call, now=now)
        case "patch":
            kind = _patch_type(call)
            is_new = store.collection(resource).get(key) is None
            stored = store.patch(resource, key, kind, call.content(), options)
            return object_answer(target, stored, call, now=now, code=201 if is_new else 200)
        case "delete":
            return _delete(store, call, target, options, now)
        case "deletecollection":
            gone = store.delete_collection(resource, selection_of(call, target), options)
            return list_answer(target, Page(gone, store.revision), call, now)
        case _:
            raise no_such_path()


def _namespace_for_create(target: Target) -> str:
    if target.resource.namespaced and not target.namespace:
        raise bad_request("an empty namespace may not be set during creation")
    return target.namespace


def _patch_type(call: Call) -> PatchType:
    media = call.content_type.partition(";")[0].strip()
    try:
        return PatchType(media)
    except ValueError:
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join(PatchType)}"
        )
        raise Refused(415, "UnsupportedMediaType", message) from None


def _grace_s(call: Call, told: Json) -> int | None:
    """Return `gracePeriodSeconds` of DeleteOptions, which may be the query's; None for none."""
    asked = told.get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
    return None if asked is None else max(0, int(asked))


def _delete(
    store: Store, call: Call, target: Target, options: WriteOptions, now: datetime
) -> Answer:
    body = call.content() if call.body.strip() else {}
    told = body if isinstance(body, dict) else {}
    preconditions = told.get("preconditions") or {}
    options = msgspec.structs.replace(
        options,
        dry_run=options.dry_run or "All" in (told.get("dryRun") or ()),
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        grace_s=_grace_s(call, told),
    )
    resource = target.resource
    deleted = store.delete(resource, (target.namespace, target.name), options)
    if not deleted.is_gone:
        return object_answer(target, deleted.stored, call, now=now)
    details = {
        "name": target.name,
        "group": resource.group,
        "kind": resource.plural,
        "uid": deleted.stored.decode()["metadata"]["uid"],
    }
    return json_answer(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {name: value for name, value in details.items() if value},
        }
    )

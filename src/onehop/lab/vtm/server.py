"""The HTTP of an imitated unit."""

import asyncio
import base64
import binascii
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import quote, unquote

import msgspec
from aiohttp import web

from onehop.lab.vtm.behaviour import Fault
from onehop.lab.vtm.cluster import USERNAME, Member, VtmCluster
from onehop.lab.vtm.refusal import Refused, not_found
from onehop.lab.vtm.schema import schema
from onehop.lab.vtm.store import Place, is_text

_HTML: Final = "<html><body><h1>503 Service Unavailable</h1></body></html>"
_TEXT: Final = "application/octet-stream"
_TOO_LARGE: Final = "<html><body><h1>413 Request Entity Too Large</h1></body></html>"


@asynccontextmanager
async def serve_vtm(
    cluster: VtmCluster, port: int = 0, trust: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[str, ...]]:
    """Serve every member on a loopback port of its own; return their URLs.

    Args:
        cluster: whose members.
        port: of the first one, the others follow; 0 takes any that are free.
        trust: for HTTPS; None is HTTP, as a unit speaks on its own loopback.
    """
    async with AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(
                _serving(cluster, member, port + n if port else 0, trust)
            )
            for n, member in enumerate(cluster.members)
        ]
        try:
            yield tuple(urls)
        finally:
            cluster.closing.set()


@asynccontextmanager
async def _serving(
    cluster: VtmCluster, member: Member, port: int, trust: ssl.SSLContext | None
) -> AsyncGenerator[str]:
    app = web.Application(client_max_size=2 * cluster.behaviour.largest_body)
    app.router.add_route("*", "/{path:.*}", _Handler(cluster, member).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=trust)
        await site.start()
        host, bound = runner.addresses[0][:2]
        yield f"{'http' if trust is None else 'https'}://{host}:{bound}"
    finally:
        cluster.closing.set()
        await runner.cleanup()


class _Handler:
    def __init__(self, cluster: VtmCluster, member: Member) -> None:
        self._cluster = cluster
        self._member = member

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a call, or do to it what is to go wrong."""
        faults = self._member.faults
        due = faults.next and request.method in faults.methods
        fault = Fault.CUT if faults.is_down else faults.next.pop(0) if due else None
        match fault:
            case Fault.NONE | None:
                return await self._answered(request)
            case Fault.HALF:
                return await self._answered(request, is_halved=True)
            case Fault.CUT_BODY:
                return await _cut_within(request, await self._answered(request))
            case Fault.CUT_AFTER | Fault.SLOW_AFTER:
                await self._answered(request)
            case Fault.DIES:
                faults.is_down = True
            case Fault.CUT | Fault.SLOW:
                pass
            case _:
                return _instead(fault)
        if fault in {Fault.SLOW, Fault.SLOW_AFTER}:
            await self._cluster.closing.wait()
        return _cut(request)

    async def _answered(self, request: web.Request, *, is_halved: bool = False) -> web.Response:
        if not _knows(request.headers.get("Authorization", ""), self._cluster.password):
            return _denied()
        await asyncio.sleep(self._cluster.behaviour.call_s)
        if (request.content_length or 0) > self._cluster.behaviour.largest_body:
            return web.Response(status=413, text=_TOO_LARGE, content_type="text/html")
        self._member.settle()
        try:
            return await self._answer(request, is_halved=is_halved)
        except Refused as refused:
            tells_all = self._cluster.behaviour.tells_error_info
            kept = ("error_id", "error_text", *(("error_info",) if tells_all else ()))
            return _json(refused.status, {k: v for k, v in refused.body.items() if k in kept})

    async def _answer(self, request: web.Request, *, is_halved: bool) -> web.Response:
        path = request.rel_url.raw_path
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match parts:
            case ["api", "tm"]:
                return _children(path, self._cluster.behaviour.versions)
            case ["api", "tm", version, *below] if version in self._cluster.behaviour.versions:
                match below:
                    case ["config", "active", *place]:
                        return await self._config(request, version, place, is_halved=is_halved)
                    case ["status", machine, "statistics", "traffic_ips", "traffic_ip", *row]:
                        return self._traffic_ips(path, machine, row)
                    case ["status", "local_tm", *place]:
                        return self._status(path, place)
                    case _:
                        pass
            case _:
                pass
        raise not_found(path)

    async def _config(
        self, request: web.Request, version: str, parts: list[str], *, is_halved: bool
    ) -> web.Response:
        path = request.rel_url.raw_path
        collection = "/".join(parts[:2]) if parts[:1] == ["ssl"] else "".join(parts[:1])
        if collection not in schema():
            raise not_found(path)
        names = parts[collection.count("/") + 1 :]
        if not names:
            if request.method != "GET":
                raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "http.method", "not implemented")
            described = self._described(request, collection, version)
            return _children(path, self._member.names(collection), **described)
        if len(names) > 1:
            raise not_found(path)
        place = (collection, names[0])
        match request.method:
            case "GET":
                return self._get(request, place, version)
            case "PUT":
                return await self._put(request, place, version, is_halved=is_halved)
            case "DELETE":
                self._member.delete(place, path)
                return web.Response(status=204)
            case _:
                raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "http.method", "not implemented")

    def _described(self, request: web.Request, collection: str, version: str) -> dict[str, Any]:
        if "metadata" not in request.query or not self._cluster.behaviour.tells_metadata:
            return {}
        return {"metadata": self._member.metadata(collection, version)}

    def _get(self, request: web.Request, place: Place, version: str) -> web.Response:
        content = self._member.get(place, version, request.rel_url.raw_path)
        if isinstance(content, str):
            return web.Response(body=content.encode(), content_type=_TEXT)
        return _json(HTTPStatus.OK, {"properties": content})

    async def _put(
        self, request: web.Request, place: Place, version: str, *, is_halved: bool
    ) -> web.Response:
        body = await request.read()
        expected = _TEXT if is_text(place[0]) else "application/json"
        if request.content_type != expected:
            text = f"{expected} is expected"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "http.content_type", text)
        if is_text(place[0]):
            is_new = self._member.put_text(place, body.decode())
            return web.Response(status=201 if is_new else 204)
        given = _parsed(body)
        is_new = self._member.put(place, version, given, is_halved=is_halved)
        status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        if not self._cluster.behaviour.echoes_writes:
            return _json(status, {})
        answer = self._member.get(place, version, request.rel_url.raw_path)
        return _json(status, {"properties": answer})

    def _status(self, path: str, parts: list[str]) -> web.Response:
        match parts:
            case ["state"]:
                errors = self._member.errors()
                level = "error" if errors else "ok"
                return _json(HTTPStatus.OK, {"state": {"error_level": level, "errors": errors}})
            case ["statistics", "nodes", "per_pool_node"]:
                return _children(path, self._node_rows())
            case ["statistics", "nodes", "per_pool_node", row] if row in self._node_rows():
                if row.endswith("0"):
                    text = "Resource has no counters"
                    raise Refused(HTTPStatus.BAD_REQUEST, "statistics.no_counters", text)
                counters = {"state": "alive", "total_conn": 0, "failures": 0, "errors": 0}
                return _json(HTTPStatus.OK, {"statistics": {**counters, "current_requests": 0}})
            case _:
                raise not_found(path)

    def _traffic_ips(self, path: str, machine: str, row: list[str]) -> web.Response:
        name = self._member.name if machine == "local_tm" else machine
        member = next((each for each in self._cluster.members if each.name == name), None)
        if member is None:
            raise not_found(path)
        member.settle()
        match row, member.traffic_ips():
            case [], told:
                return _children(path, told)
            case [address], told if address in told:
                return _json(HTTPStatus.OK, {"statistics": {"state": told[address], "time": 0}})
            case _:
                raise not_found(path)

    def _node_rows(self) -> list[str]:
        is_first = self._cluster.behaviour.counts_node_first
        return [
            f"{row['node']}-{name}" if is_first else f"{name}-{row['node'].replace(':', '-')}"
            for (collection, name), content in self._member.objects.items()
            if collection == "pools" and not isinstance(content, str)
            for row in content["basic"]["nodes_table"]
        ]


def _parsed(body: bytes) -> Any:
    try:
        whole = json.loads(body)
    except ValueError as err:
        raise Refused(HTTPStatus.BAD_REQUEST, "json.parse_error", f"Invalid JSON: {err}") from err
    unknown = [key for key in whole if key != "properties"] if isinstance(whole, dict) else ["?"]
    if unknown:
        text = f"Unexpected field '{unknown[0]}' in main JSON object."
        raise Refused(HTTPStatus.BAD_REQUEST, "json.field_unknown", text)
    return whole.get("properties", {})


def _knows(authorization: str, password: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    try:
        said = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return scheme.lower() == "basic" and said == f"{USERNAME}:{password}"


def _children(path: str, names: Any, **further: Any) -> web.Response:
    base = path.rstrip("/")
    children = [{"name": name, "href": f"{base}/{quote(name)}"} for name in names]
    return _json(HTTPStatus.OK, {"children": children, **further})


def _json(status: HTTPStatus, body: Any) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json"
    )


def _said(status: HTTPStatus, error_id: str, text: str) -> web.Response:
    return _json(status, {"error_id": error_id, "error_text": text})


def _instead(
    fault: Literal[Fault.HTML, Fault.SERVER_ERROR, Fault.FORBIDDEN, Fault.DENIED],
) -> web.Response:
    match fault:
        case Fault.HTML:
            return web.Response(status=503, text=_HTML, content_type="text/html")
        case Fault.SERVER_ERROR:
            return _said(HTTPStatus.INTERNAL_SERVER_ERROR, "internal.error", "out of luck")
        case Fault.FORBIDDEN:
            return _said(HTTPStatus.FORBIDDEN, "auth.forbidden", "Not permitted")
        case Fault.DENIED:
            return _denied()


def _denied() -> web.Response:
    text = "User name or password was invalid"
    return _said(HTTPStatus.UNAUTHORIZED, "auth.invalid", text)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut_within(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Send an answer as far as the middle of its body, or of its length if it has none."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    part = web.StreamResponse(status=HTTPStatus.OK, headers={"Content-Type": whole.content_type})
    part.content_length = max(2, len(body))
    await part.prepare(request)
    await part.write(body[: part.content_length // 2])
    if request.transport is not None:
        request.transport.close()
    return part

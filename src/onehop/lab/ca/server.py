"""The CA as an HTTPS server: which request means what, and who may make it.

Everything that is the same for all requests is checked here, once (RFC 8555, section 6): content
type, URL, nonce, key, signature. aiohttp carries it, as it carries the lab's API.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web

from onehop.lab.ca.account import account, new_account, orders
from onehop.lab.ca.authority import NAME, Authority
from onehop.lab.ca.authorization import authorization, challenge
from onehop.lab.ca.ca import Ca
from onehop.lab.ca.call import Call, Reply
from onehop.lab.ca.option import CaOptions
from onehop.lab.ca.order import certificate, finalize, new_order, order
from onehop.lab.ca.refusal import Refused, unauthorized
from onehop.lab.ca.renewal import renewal_info
from onehop.lab.ca.revocation import revoke
from onehop.lab.ca.signed import Signed, read_signed

Answering: TypeAlias = Callable[[Ca, Call], Reply]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

_SIGNED: Final[Mapping[str, Answering]] = {
    "/new-account": new_account,
    "/new-order": new_order,
    "/revoke": revoke,
    "/account/{id}": account,
    "/account/{id}/orders": orders,
    "/order/{id}": order,
    "/order/{id}/finalize": finalize,
    "/authorization/{id}": authorization,
    "/authorization/{id}/{type}": challenge,
    "/certificate/{id}": certificate,
}
_LONGEST_BODY: Final = 256 * 1024
_SHUTDOWN_S: Final = 1.0


@asynccontextmanager
async def running_ca(
    options: CaOptions, *, now: Callable[[], float] = time.time
) -> AsyncGenerator[Ca]:
    """Run a CA for as long as the context lasts; what it knew is forgotten then.

    Args:
        options: where it listens, where it looks, what it issues.
        now: seconds since the epoch.

    Raises:
        OSError: its address or port cannot be had.
    """
    authority = Authority(now())
    tls = authority.server_tls((options.host, *options.names), now())
    listening = _listen(options)  # before the group, which would wrap what is raised
    async with asyncio.TaskGroup() as group:
        ca = Ca(options, authority, now=now, group=group)
        runner = web.AppRunner(_application(ca), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            await web.SockSite(runner, listening, ssl_context=tls.context()).start()
            host, port = runner.addresses[0][:2]
            ca.url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
            yield ca
        finally:
            await runner.cleanup()
            ca.stop()


def _listen(options: CaOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    return socket.create_server((options.host, options.port), family=family)


def _application(ca: Ca) -> web.Application:
    application = web.Application(client_max_size=_LONGEST_BODY)
    for path, answering in _SIGNED.items():
        application.router.add_post(path, _signed(ca, answering))
    for path, open_answering in (
        ("/directory", _directory),
        ("/new-nonce", _new_nonce),
        ("/renewal-info/{id}", renewal_info),
    ):
        application.router.add_get(path, _open(ca, open_answering), allow_head=False)
    application.router.add_head("/new-nonce", _open(ca, _new_nonce_by_head))
    return application


def _open(ca: Ca, answering: Answering) -> Handler:
    """Answer what needs no signature."""

    async def handle(request: web.Request) -> web.Response:
        call = Call(base=_base(request), path=request.path, parts=request.match_info)
        try:
            return _response(call.base, answering(ca, call))
        except Refused as refused:
            return _problem(call.base, refused)

    return handle


def _signed(ca: Ca, answering: Answering) -> Handler:
    """Answer what has to be signed; every answer brings a nonce (section 6.5)."""

    async def handle(request: web.Request) -> web.Response:
        base = _base(request)
        try:
            signed = _checked(ca, request, await request.read())
            call = _call(ca, request, signed)
            response = _response(base, answering(ca, call))
        except Refused as refused:
            response = _problem(base, refused)
        response.headers["Replay-Nonce"] = ca.nonces.new()
        return response

    return handle


def _checked(ca: Ca, request: web.Request, body: bytes) -> Signed:
    if request.content_type != "application/jose+json":
        raise Refused(
            "malformed",
            "the content type of a request is application/jose+json",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    signed = read_signed(body)
    url = f"{_base(request)}{request.path}"
    if signed.header.url != url:
        raise unauthorized(f"signed for {signed.header.url!r}, sent to {url!r}")
    if not ca.nonces.use(signed.header.nonce):
        raise Refused("badNonce", "the nonce is not of this CA, or was used before")
    return signed


def _call(ca: Ca, request: web.Request, signed: Signed) -> Call:
    """Find out who has signed, and whether they did."""
    base, header, signer = _base(request), signed.header, None
    if header.kid is not None:
        signer = ca.book.accounts.get(header.kid.removeprefix(f"{base}/account/"))
        if signer is None:
            raise Refused("accountDoesNotExist", f"there is no account {header.kid!r}")
        key = signer.key
    else:
        key = signed.key()
    signed.check(key)
    if signer is not None and not signer.is_active:
        raise unauthorized("this account was deactivated")
    return Call(
        base=base,
        path=request.path,
        parts=request.match_info,
        payload=signed.payload,
        key=key,
        signer=signer,
    )


def _directory(ca: Ca, call: Call) -> Reply:
    """Say where what is taken (section 7.1.1)."""
    meta: dict[str, Any] = {"externalAccountRequired": bool(ca.options.external_accounts)}
    if ca.options.profiles:
        meta["profiles"] = {name: each.says for name, each in ca.options.profiles.items()}
    base = call.base
    return Reply(
        {
            "newNonce": f"{base}/new-nonce",
            "newAccount": f"{base}/new-account",
            "newOrder": f"{base}/new-order",
            "revokeCert": f"{base}/revoke",
            "renewalInfo": f"{base}/renewal-info",
            "meta": meta,
        }
    )


def _new_nonce(ca: Ca, call: Call) -> Reply:
    """Give a nonce (section 7.2)."""
    del call
    headers = {"Replay-Nonce": ca.nonces.new(), "Cache-Control": "no-store"}
    return Reply(None, HTTPStatus.NO_CONTENT, headers)


def _new_nonce_by_head(ca: Ca, call: Call) -> Reply:
    return Reply(None, HTTPStatus.OK, _new_nonce(ca, call).headers)


def _base(request: web.Request) -> str:
    """Return what URLs begin with; by `Host`, so that a proxy may stand before us."""
    return f"https://{request.host}"


def _response(base: str, reply: Reply) -> web.Response:
    if isinstance(reply.body, bytes):
        body, kind = reply.body, "application/pem-certificate-chain"
    else:
        body = b"" if reply.body is None else msgspec.json.encode(reply.body)
        kind = "application/json"
    response = web.Response(body=body, status=reply.status, content_type=kind)
    return _with_headers(base, response, reply.headers)


def _problem(base: str, refused: Refused) -> web.Response:
    response = web.Response(
        body=msgspec.json.encode(refused.document()),
        status=refused.status,
        content_type="application/problem+json",
    )
    return _with_headers(base, response, refused.headers)


def _with_headers(base: str, response: web.Response, headers: Mapping[str, str]) -> web.Response:
    """Add headers, who we are, and where the directory is (section 7.1)."""
    response.headers["Server"] = NAME
    response.headers.add("Link", f'<{base}/directory>;rel="index"')
    for name, value in headers.items():
        response.headers.add(name, value)
    return response

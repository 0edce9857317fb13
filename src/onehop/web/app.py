"""The two small HTTP applications: one to look, one to act."""

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from onehop.control.overview import Overview


def make_public_app(overview: Overview) -> Starlette:
    """Return the application for scrapes and health checks: it tells no object's name."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        if overview.is_ready():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not ready: lists or the first acknowledgement are missing\n", 503)

    async def metrics(_request: Request) -> Response:
        return Response(overview.render_metrics(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def make_control_app(overview: Overview) -> Starlette:
    """Return the application behind the control socket: what the commands on this host ask."""

    async def status(_request: Request) -> Response:
        return _json(overview.snapshot())

    async def explain(request: Request) -> Response:
        return _json(await overview.explain(request.query_params.get("target", "")))

    async def certificates(_request: Request) -> Response:
        return _json(overview.certificates())

    async def why(request: Request) -> Response:
        return _json(overview.why(request.query_params.get("host", "")))

    async def renew(request: Request) -> Response:
        query = request.query_params
        spares_valid = query.get("sparesValid") == "true"
        return _json(overview.renew(tuple(query.getlist("name")), spares_valid=spares_valid))

    async def confirm(_request: Request) -> Response:
        return _json({"confirmed": overview.confirm()})

    async def switch(request: Request) -> Response:
        return _json(await overview.switch(force=request.query_params.get("force") == "true"))

    async def drain(request: Request) -> Response:
        await overview.drain(is_draining=request.query_params.get("undo") != "true")
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/status", status),
            Route("/explain", explain),
            Route("/certificates", certificates),
            Route("/certificates/why", why),
            Route("/certificates/renew", renew, methods=["POST"]),
            Route("/confirm", confirm, methods=["POST"]),
            Route("/switch", switch, methods=["POST"]),
            Route("/drain", drain, methods=["POST"]),
        ]
    )


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")

"""HTTP to the API server: authenticated, bounded in time, its faults mapped.

The `kubernetes` package's REST client owns TLS, proxies and the connection pool. Its models and its
`ApiClient` stay out of the way: decoding a hundred thousand endpoints through them takes seconds.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.client.rest import RESTClientObject

from onehop import __version__
from onehop.base.errors import ConfigError, KubeForbidden
from onehop.kube.credentials import Credentials
from onehop.kube.fault import fault_of, network_faults, read_status

CONNECT_TIMEOUT_S: Final = 5.0
FAULT_BODY_TIMEOUT_S: Final = 5.0
UNAUTHORIZED: Final = 401
FIRST_ERROR: Final = 300
"""Redirects count: an API server sends none, a captive portal does."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask.

    Attributes:
        doing: for messages, as in "list EndpointSlice".
        body: plain JSON values; the content type says which kind of patch they are.
    """

    doing: str
    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Any = None
    content_type: str = "application/json"


class Transport:
    """Sends requests; one per API server."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._rest = _rest_client(credentials)
        self._generation = credentials.generation

    async def close(self) -> None:
        """Close every connection."""
        await self._rest.close()

    async def call(self, request: Request, *, timeout_s: float) -> bytes:
        """Return the body of a 2xx answer.

        Raises:
            KubeUnavailable: no connection, no answer in time, an answer cut short, 429, 5xx.
            RejectedError: or one of its children, for every other refusal.
        """
        with network_faults(request.doing):
            async with asyncio.timeout(timeout_s):
                response = await self._open(request)
                try:
                    return await response.read()
                finally:
                    response.close() if response.content.exception() else response.release()

    @asynccontextmanager
    async def stream(
        self, request: Request, *, open_timeout_s: float
    ) -> AsyncGenerator[aiohttp.StreamReader]:
        """Open an answer that does not end by itself; reading it in time is the caller's part."""
        with network_faults(request.doing):
            async with asyncio.timeout(open_timeout_s):
                response = await self._open(request)
        try:
            yield response.content
        finally:
            response.close()

    async def _open(self, request: Request) -> aiohttp.ClientResponse:
        """Return an answer that is not an error; a 401 is answered with fresh credentials once."""
        generation = self._credentials.generation
        response = await self._send(request)
        if response.status == UNAUTHORIZED:
            response.release()
            await self._renew(request, generation)
            response = await self._send(request)
        if response.status >= FIRST_ERROR:
            raise await _fault(request, response)
        return response

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        headers = {
            "Accept": "application/json",
            # Endpoint latency is worth more than bandwidth next to the cluster.
            "Accept-Encoding": "identity",
            "Content-Type": request.content_type,
            "User-Agent": f"onehop/{__version__}",
        }
        authorization = await self._credentials.authorization()
        if authorization is not None:
            headers["Authorization"] = authorization
        url = f"{self._credentials.configuration.host}{request.path}"
        if request.query:
            url += "?" + urlencode(request.query)
        answer = await self._rest.request(
            request.method,
            url,
            headers=headers,
            body=request.body,
            _request_timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _renew(self, request: Request, seen: int) -> None:
        try:
            await self._credentials.reload(seen)
        except ConfigError as error:
            raise KubeForbidden(f"{request.doing}: refused with 401, and {error}") from error
        if self._generation != self._credentials.generation:
            # Certificates may be new, and TLS keeps those it began with. Watches that run on the
            # old connections end here and resume on new ones.
            old, self._rest = self._rest, _rest_client(self._credentials)
            self._generation = self._credentials.generation
            await old.close()


async def _fault(request: Request, response: aiohttp.ClientResponse) -> Exception:
    try:
        async with asyncio.timeout(FAULT_BODY_TIMEOUT_S):
            body = await response.read()
    except (TimeoutError, aiohttp.ClientError, OSError):
        body = b""  # the code alone says enough
    finally:
        response.close()
    return fault_of(request.doing, response.status, read_status(body), response.headers)


def _rest_client(credentials: Credentials) -> RESTClientObject:
    try:
        return RESTClientObject(credentials.configuration)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"certificates of the Kubernetes API cannot be used: {error}") from error

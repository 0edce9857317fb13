"""The one way to a CA's responder: HTTP POST (RFC 6960, appendix A), within limits."""

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from onehop import __version__
from onehop.acme.protocol.pause import read_retry_after
from onehop.base.errors import OcspUnavailable
from onehop.control.stapling.question import Question
from onehop.control.stapling.trust import is_elsewhere

TIMEOUT_S: Final = 10.0
LONGEST_ANSWER: Final = 1 << 16
_OK: Final = 200
_HEADERS: Final = {
    "User-Agent": f"onehop/{__version__}",
    "Content-Type": "application/ocsp-request",
    "Accept": "application/ocsp-response",
}


class Responders:
    """Whoever may be asked (see `trust`), by HTTP.

    No redirect is followed, and no proxy asked: what was believed is this URL and no other.

    Args:
        is_named: whether the operator names a host, which then may be this one as well.
    """

    def __init__(self, is_named: Callable[[str], bool]) -> None:
        resolver = _NotHere(is_named)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),  # ours is around the whole exchange
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def ask(self, question: Question) -> bytes:
        """Return what the responder sends.

        Raises:
            OcspUnavailable: nothing in time, or not 200.
        """
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._http.post(
                    question.url, data=question.body, allow_redirects=False
                ) as response,
            ):
                if response.status != _OK:
                    after = response.headers.get("Retry-After")
                    raise OcspUnavailable(
                        f"{question.url} answered {response.status}",
                        retry_after_s=read_retry_after(after, now=time.time()),
                    )
                return await _read(question.url, response)
        except TimeoutError as err:
            raise OcspUnavailable(f"{question.url} did not answer in {TIMEOUT_S:.0f} s") from err
        except (aiohttp.ClientError, OSError, ValueError) as err:
            raise OcspUnavailable(f"{question.url} cannot be asked: {err}") from err


async def _read(url: str, response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            raise OcspUnavailable(f"{url} sent more than {LONGEST_ANSWER} bytes")
    return body


class _NotHere(AbstractResolver):
    """Resolves names, but not to this host or its link: a name may say what it likes.

    There are the control sockets of programs beside us, and the metadata servers of clouds.
    """

    def __init__(self, is_named: Callable[[str], bool]) -> None:
        self._inner = ThreadedResolver()
        self._is_named = is_named

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: it has none, or none that may be asked.
        """
        found = await self._inner.resolve(host, port, family)
        if self._is_named(host):
            return found
        elsewhere = [each for each in found if is_elsewhere(each["host"])]
        if not elsewhere:
            raise OSError(errno.EACCES, f"{host} is this host or on its link")
        return elsewhere

    async def close(self) -> None:
        """Release nothing."""
        await self._inner.close()

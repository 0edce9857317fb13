"""The one gate through which every request to a CA goes.

Nothing else opens a connection to the CA. So what holds here holds everywhere: never a request
before `Retry-After`, never more than so many at once, no wait without an end, no answer without an
end, a fresh nonce for each try.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import aiohttp
import msgspec
from josepy.errors import DeserializationError

from onehop import __version__
from onehop.acme.clock import Clock
from onehop.acme.protocol.jws import AccountKey
from onehop.acme.protocol.pause import EVERYTHING, Pauses, read_retry_after
from onehop.acme.refusal import ACME_ERRORS, ProblemDocument, Refusal, printable, refusal_of
from onehop.base.errors import AcmeAnswerLost, AcmeNonsense, AcmeUnavailable

_TIMEOUT_S: Final = 30.0
_LONGEST_ANSWER: Final = 1 << 20
_NONCE_TRIES: Final = 100
"""A CA that rejects nine nonces in ten is got through, but for once in 37,000 requests."""
_MOST_NONCES: Final = 32
_IN_FLIGHT: Final = 8
_TOO_MANY_REQUESTS: Final = 429
_UNAVAILABLE: Final = 503
_SERVER_ERROR: Final = 500
_MULTIPLE_CHOICES: Final = 300
_HEADERS: Final = {"User-Agent": f"onehop/{__version__}"}

Method: TypeAlias = Literal["GET", "HEAD", "POST"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A 2xx.

    Attributes:
        links: targets of the Link headers, by relation (RFC 8288).
    """

    body: bytes
    location: str = ""
    retry_after_s: float | None = None
    links: Mapping[str, tuple[str, ...]]


class Transport:
    """Requests to one CA.

    Args:
        trust: whom the CA's server must be signed by; None for those the host trusts.
        patience_s: pauses that are waited for here; longer ones are raised.
    """

    def __init__(self, clock: Clock, trust: ssl.SSLContext, *, patience_s: float) -> None:
        self._clock = clock
        self._pauses = Pauses(clock, patience_s=patience_s)
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)
        self._nonces: list[str] = []
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=_IN_FLIGHT),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),  # ours is around the whole exchange
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def hold(self, resource: str, seconds: float | None) -> None:
        """Let a resource rest, because another one's answer asked for it."""
        if seconds:
            self._pauses.hold(resource, seconds)

    async def get(self, url: str) -> Answer | Refusal:
        """GET what needs no account: the directory, renewal information.

        Raises:
            AcmeUnavailable: no answer, 5xx, or a pause is not over.
        """
        return await self._exchange("GET", url, topic=url)

    async def post(  # noqa: PLR0913  what a signed request is made of
        self,
        url: str,
        payload: bytes,
        *,
        key: AccountKey,
        account: str | None,
        new_nonce: str,
        hosts: tuple[str, ...] = (),
    ) -> Answer | Refusal:
        """POST a signed payload, again with another nonce for as long as the CA dislikes ours.

        Args:
            url: where to.
            payload: empty for POST-as-GET (RFC 8555, section 6.3).
            key: signs it.
            account: the account's URL; None for newAccount.
            new_nonce: where nonces are to be had.
            hosts: what the request is about; a rate limit that names them holds up only these.

        Raises:
            AcmeUnavailable: no answer, 5xx, or a pause is not over.
        """
        topic = f"{url} {' '.join(hosts)}" if hosts else url
        for _ in range(_NONCE_TRIES):
            nonce = self._nonces.pop() if self._nonces else await self._new_nonce(new_nonce)
            try:
                body = key.sign(payload, url=url, nonce=nonce, account=account)
            except DeserializationError as err:
                raise AcmeNonsense(f"the CA's nonce {printable(nonce)!r} is not base64url") from err
            answer = await self._exchange("POST", url, body, topic=topic, hosts=hosts)
            if not isinstance(answer, Refusal) or answer.kind != "badNonce":
                return answer
        raise AcmeUnavailable(f"the CA has rejected {_NONCE_TRIES} nonces in a row of {url}")

    async def _new_nonce(self, url: str) -> str:
        try:
            answer = await self._exchange("HEAD", url, topic=url)
        except AcmeAnswerLost as err:  # of a question that changes nothing
            raise AcmeUnavailable(str(err), retry_after_s=err.retry_after_s) from err
        if isinstance(answer, Refusal):
            raise AcmeUnavailable(f"the CA gives no nonce: {answer}")
        if not self._nonces:
            raise AcmeNonsense(f"the answer of {url} carries no nonce")
        return self._nonces.pop()

    async def _exchange(
        self,
        method: Method,
        url: str,
        body: bytes | None = None,
        *,
        topic: str,
        hosts: tuple[str, ...] = (),
    ) -> Answer | Refusal:
        """Wait for pauses, ask once, and keep what the answer says of pauses and nonces."""
        while True:
            await self._pauses.wait(url, topic)
            async with self._in_flight:
                # The turn may have come later than a pause that somebody else was asked for.
                if self._pauses.left_s(url, topic):
                    continue
                reply = await self._ask(method, url, body)
                self._keep_nonce(reply.headers)
                return self._heed(f"{method} {url}", url, topic, hosts, reply)

    def _heed(
        self, what: str, url: str, topic: str, hosts: tuple[str, ...], reply: "_Reply"
    ) -> Answer | Refusal:
        """Keep the pause that a reply asks for, and tell a yes from a no and from a failure."""
        wait_s = read_retry_after(reply.headers.get("Retry-After"), now=self._clock.now())
        location = reply.headers.get("Location", "")
        if reply.status < _MULTIPLE_CHOICES:
            self.hold(url, wait_s)
            return Answer(
                body=reply.body, location=location, retry_after_s=wait_s, links=reply.links
            )
        refusal = refusal_of(
            _problem(reply), status=reply.status, retry_after_s=wait_s, location=location
        )
        if reply.status >= _SERVER_ERROR:
            self.hold(EVERYTHING if reply.status == _UNAVAILABLE else url, wait_s)
            raise AcmeAnswerLost(f"{what} answered {reply.status}: {refusal}", retry_after_s=wait_s)
        self.hold(topic if refusal.concerns(hosts) else url, wait_s)
        return refusal

    async def _ask(self, method: Method, url: str, body: bytes | None) -> "_Reply":
        if not url.startswith("https://"):
            raise AcmeNonsense(f"{printable(url)!r} is not https (RFC 8555, section 6.1)")
        headers = {"Content-Type": "application/jose+json"} if body is not None else {}
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                # Redirects are not followed: they would lead around the gate.
                self._http.request(
                    method, url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return _Reply(
                    response.status,
                    response.headers,
                    await _read(response),
                    _links(response),
                )
        except TimeoutError as err:
            raise AcmeAnswerLost(f"{method} {url}: no answer within {_TIMEOUT_S:.0f} s") from err
        except (aiohttp.ClientError, ValueError) as err:
            raise AcmeAnswerLost(f"{method} {url}: {err or type(err).__name__}") from err

    def _keep_nonce(self, headers: Mapping[str, str]) -> None:
        """Keep what each answer carries, refusals too (RFC 8555, section 6.5); the newest few."""
        nonce = headers.get("Replay-Nonce")
        if nonce:
            self._nonces.append(nonce)
            del self._nonces[:-_MOST_NONCES]


class _Reply(msgspec.Struct, frozen=True):
    """Whatever came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    links: Mapping[str, tuple[str, ...]]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read all of a body, unless it is too long."""
    parts = bytearray()
    async for part in response.content.iter_chunked(1 << 16):
        parts += part
        if len(parts) > _LONGEST_ANSWER:
            raise AcmeNonsense(f"the answer of {response.url} does not end")
    return bytes(parts)


def _links(response: aiohttp.ClientResponse) -> Mapping[str, tuple[str, ...]]:
    links = response.links
    return {
        relation: tuple(str(link["url"]) for link in links.getall(relation)) for relation in links
    }


def _problem(reply: _Reply) -> ProblemDocument:
    """Read a problem document; what is none is quoted in short."""
    try:
        return msgspec.json.decode(reply.body, type=ProblemDocument)
    except (msgspec.DecodeError, UnicodeDecodeError):
        is_limit = reply.status == _TOO_MANY_REQUESTS
        return ProblemDocument(
            type=f"{ACME_ERRORS}rateLimited" if is_limit else f"HTTP {reply.status}",
            detail=reply.body[:200].decode(errors="replace"),
        )

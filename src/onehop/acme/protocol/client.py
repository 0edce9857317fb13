"""What an account does at a CA: order, prove, finalize, fetch, revoke.

Each method is one request, but for `open_account` (two at most) and `find_order`. What the CA
refuses comes back as a `Refusal`; what the world does wrong is raised.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from onehop.acme.issuer import Issuer
from onehop.acme.protocol.jws import AccountKey
from onehop.acme.protocol.transport import Answer, Transport
from onehop.acme.protocol.wire import (
    AccountBody,
    Authorization,
    Challenge,
    Directory,
    Identifier,
    Order,
    OrderList,
    OrderStatus,
    RenewalInfo,
)
from onehop.acme.refusal import Refusal, printable
from onehop.acme.saved import Account
from onehop.base.errors import AcmeNonsense, AcmeUnavailable
from onehop.model.certificate import SecretText

T = TypeVar("T")
_MOST_ORDERS_LOOKED_AT: Final = 200
_PAGES: Final = 200
_ALIVE: Final = (OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING, OrderStatus.VALID)


class AcmeClient:
    """One account at one CA. Usable once `account` is set."""

    def __init__(self, transport: Transport, directory: Directory, key_pem: SecretText) -> None:
        self._transport = transport
        self.directory = directory
        self.key = AccountKey(key_pem)
        self.account: str | None = None
        """The account's URL."""

    async def open_account(self, issuer: Issuer, account: Account) -> Account | Refusal:
        """Make or find the account of the key, and tell the CA its contact.

        RFC 8555, sections 7.3, 7.3.1 and 7.3.2. Repeating it is harmless.
        """
        if account.url is None:
            opened = await self._new_account(issuer)
            if isinstance(opened, Refusal):
                return opened
            account = msgspec.structs.replace(account, url=opened.location, contact=issuer.contact)
        self.account = account.url
        if account.contact != issuer.contact:
            answer = await self._post(account.url or "", {"contact": _contact(issuer)})
            if isinstance(answer, Refusal):
                return answer
        return msgspec.structs.replace(account, contact=issuer.contact)

    async def new_order(
        self, hosts: tuple[str, ...], *, profile: str | None, replaces: str | None
    ) -> Order | Refusal:
        """Place an order. RFC 8555, section 7.4; `replaces`: RFC 9773, section 5."""
        body: dict[str, Any] = {"identifiers": [Identifier(host) for host in hosts]}
        if profile is not None:
            body["profile"] = profile
        if replaces is not None:
            body["replaces"] = replaces
        answer = await self._post(self.directory.new_order, body, hosts=hosts)
        if isinstance(answer, Refusal):
            return answer
        if not answer.location:
            raise AcmeNonsense("the CA has taken an order without saying where it is")
        self._transport.hold(answer.location, answer.retry_after_s)
        return msgspec.structs.replace(_decode(answer, Order), url=answer.location)

    async def find_order(
        self, hosts: tuple[str, ...], not_these: frozenset[str]
    ) -> Order | Refusal | None:
        """Return our newest order for exactly these hosts that is still alive, or None.

        A refusal is one that passes: there may be such an order, and the CA will say so later.

        For the moment after newOrder's answer was lost. RFC 8555, section 7.1.2.1; CAs without a
        list of orders (Let's Encrypt) give the same pending order to the same question instead.
        """
        answer = await self._post(self.account or "", None)
        if isinstance(answer, Refusal):
            return answer if answer.is_passing else None
        url = _decode(answer, AccountBody).orders
        found: list[str] = []
        for _ in range(_PAGES):
            page = await self._post(url, None) if url else None
            if isinstance(page, Refusal) and page.is_passing:
                return page
            if page is None or isinstance(page, Refusal):
                break
            found += _decode(page, OrderList).orders
            url = next(iter(page.links.get("next", ())), None)
        ours = [order for order in reversed(found) if order not in not_these]
        for candidate in ours[:_MOST_ORDERS_LOOKED_AT]:
            order = await self.order(candidate)
            if isinstance(order, Refusal) and order.is_passing:
                return order
            if isinstance(order, Order) and order.hosts == hosts and order.status in _ALIVE:
                return order
        return None

    async def order(self, url: str) -> Order | Refusal:
        """Look at an order."""
        answer = await self._post(url, None)
        if isinstance(answer, Refusal):
            return answer
        return msgspec.structs.replace(_decode(answer, Order), url=url)

    async def authorization(self, url: str) -> Authorization | Refusal:
        """Look at an authorization. RFC 8555, section 7.5.1."""
        answer = await self._post(url, None)
        if isinstance(answer, Refusal):
            return answer
        return msgspec.structs.replace(_decode(answer, Authorization), url=url)

    async def ready(self, authorization: str, challenge: Challenge) -> Refusal | None:
        """Tell the CA to look: the answer to the challenge is in its place. Section 7.5.1."""
        answer = await self._post(challenge.url, {})
        if isinstance(answer, Refusal):
            return answer
        self._transport.hold(authorization, answer.retry_after_s)
        return None

    async def finalize(self, order: Order, csr: str) -> Order | Refusal:
        """Send the signing request, DER in base64url. RFC 8555, section 7.4."""
        answer = await self._post(order.finalize, {"csr": csr})
        if isinstance(answer, Refusal):
            return answer
        self._transport.hold(order.url, answer.retry_after_s)
        return msgspec.structs.replace(_decode(answer, Order), url=order.url)

    async def chain(self, url: str) -> tuple[str, tuple[str, ...]] | Refusal:
        """Return a certificate chain as PEM, and the URLs of alternates. Section 7.4.2."""
        answer = await self._post(url, None)
        if isinstance(answer, Refusal):
            return answer
        try:
            return answer.body.decode("ascii"), answer.links.get("alternate", ())
        except UnicodeDecodeError as err:
            raise AcmeNonsense(f"{url} is not a certificate in PEM") from err

    async def revoke(self, certificate: str, reason: int) -> Refusal | None:
        """Revoke a certificate of ours, DER in base64url. RFC 8555, section 7.6."""
        body = {"certificate": certificate, "reason": reason}
        answer = await self._post(self.directory.revoke_cert, body)
        return answer if isinstance(answer, Refusal) else None

    async def renewal_info(self, certificate: str) -> tuple[RenewalInfo, float | None] | Refusal:
        """Return when the CA would like a renewal, and how long not to ask again. RFC 9773.

        Args:
            certificate: its id (section 4.1).
        """
        base = (self.directory.renewal_info or "").rstrip("/")
        answer = await self._transport.get(f"{base}/{certificate}")
        if isinstance(answer, Refusal):
            return answer
        return _decode(answer, RenewalInfo), answer.retry_after_s

    async def _new_account(self, issuer: Issuer) -> Answer | Refusal:
        url = self.directory.new_account
        body: dict[str, Any] = {"termsOfServiceAgreed": True, "contact": _contact(issuer)}
        if issuer.external_account is not None:
            body["externalAccountBinding"] = self.key.bind(issuer.external_account, url=url)
        self.account = None
        answer = await self._post(url, body)
        if isinstance(answer, Answer) and not answer.location:
            raise AcmeNonsense("the CA has made an account without saying where it is")
        return answer

    async def _post(
        self, url: str, body: Mapping[str, Any] | None, *, hosts: tuple[str, ...] = ()
    ) -> Answer | Refusal:
        return await self._transport.post(
            url,
            b"" if body is None else msgspec.json.encode(body),
            key=self.key,
            account=self.account,
            new_nonce=self.directory.new_nonce,
            hosts=hosts,
        )


async def read_directory(transport: Transport, url: str) -> Directory:
    """Return a CA's directory.

    Raises:
        AcmeUnavailable: no answer.
        AcmeNonsense: the URL is not that of a directory.
    """
    answer = await transport.get(url)
    if isinstance(answer, Refusal) and answer.is_passing:
        raise AcmeUnavailable(f"{url}: {answer}", retry_after_s=answer.retry_after_s)
    if isinstance(answer, Refusal):
        raise AcmeNonsense(f"{url} is not an ACME directory: {answer}")
    return _decode(answer, Directory)


def _contact(issuer: Issuer) -> tuple[str, ...]:
    return (f"mailto:{issuer.contact}",) if issuer.contact else ()


def _decode(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        said = printable(answer.body[:200].decode(errors="replace"))
        raise AcmeNonsense(
            f"the CA's answer is not an ACME {kind.__name__.lower()}: {err}: {said}"
        ) from err

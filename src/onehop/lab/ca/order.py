"""Orders: placed, proven, finalized, fetched (RFC 8555, section 7.4)."""

import re
import secrets
from http import HTTPStatus
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from onehop.acme.protocol.wire import OrderStatus
from onehop.lab.ca.book import (
    CHALLENGES,
    Authorization,
    Challenge,
    Issued,
    Order,
    new_id,
    owned,
)
from onehop.lab.ca.ca import Ca
from onehop.lab.ca.call import Call, Reply, stamp
from onehop.lab.ca.refusal import Refused, malformed
from onehop.lab.ca.renewal import certificate_id, replaced
from onehop.lab.ca.request import read_request

_ORDER_S: Final = 3600.0
"""How long an order and its authorizations wait; an hour is much for tests, little for people."""
_MOST_HOSTS: Final = 100
_HOST: Final = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


class _Identifier(msgspec.Struct, frozen=True):
    type: str
    value: str


class _New(msgspec.Struct, frozen=True, rename="camel"):
    identifiers: tuple[_Identifier, ...]
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    replaces: str | None = None


class _Finalize(msgspec.Struct, frozen=True):
    csr: str


def new_order(ca: Ca, call: Call) -> Reply:
    """Place an order, with an authorization for each host."""
    asked = call.read(_New)
    if asked.not_before is not None or asked.not_after is not None:
        raise malformed("notBefore and notAfter: this CA chooses them itself")
    hosts = _checked(asked.identifiers)
    if asked.profile is not None and asked.profile not in ca.options.profiles:
        raise Refused("invalidProfile", f"{asked.profile!r} is not in the directory")
    predecessor = replaced(ca, asked.replaces, hosts, call.account.id) if asked.replaces else None
    expires_at = ca.now() + _ORDER_S
    order = Order(
        id=new_id(),
        account=call.account.id,
        hosts=hosts,
        authorizations=tuple(_authorization(call.account.id, host, expires_at) for host in hosts),
        expires_at=expires_at,
        profile=asked.profile,
        replaces=asked.replaces,
    )
    if predecessor is not None:
        predecessor.successor = order.id
    ca.book.orders[order.id] = order
    ca.book.authorizations.update({each.id: each for each in order.authorizations})
    return _reply(ca, call, order, HTTPStatus.CREATED)


def order(ca: Ca, call: Call) -> Reply:
    """Show an order."""
    return _reply(ca, call, _own(ca, call))


def finalize(ca: Ca, call: Call) -> Reply:
    """Issue, if all hosts are proven and the signing request asks for just these."""
    mine, now = _own(ca, call), ca.now()
    status = mine.status(now)
    if status is not OrderStatus.READY:
        raise Refused(
            "orderNotReady", f"the order is {status}, not ready", status=HTTPStatus.FORBIDDEN
        )
    request = read_request(call.read(_Finalize).csr, mine.hosts, account_key=call.account.key)
    profile = ca.options.profiles[mine.profile] if mine.profile is not None else None
    leaf = ca.authority.issue(
        request.names,
        request.key,
        begins=now,
        lifetime_s=profile.lifetime_s if profile else ca.options.lifetime_s,
    )
    pem = leaf.public_bytes(Encoding.PEM).decode("ascii")
    issued = Issued(
        id=certificate_id(leaf),
        account=mine.account,
        leaf=leaf,
        chain_pem=pem + ca.authority.chain_pem,
    )
    ca.book.issued[issued.id] = issued
    mine.certificate = issued.id
    return _reply(ca, call, mine)


def certificate(ca: Ca, call: Call) -> Reply:
    """Return a chain as PEM (section 7.4.2); there is one root, and so no alternate."""
    issued = owned(ca.book.issued.get(call.parts["id"]), call.account.id, "certificate")
    return Reply(issued.chain_pem.encode("ascii"))


def _own(ca: Ca, call: Call) -> Order:
    return owned(ca.book.orders.get(call.parts["id"]), call.account.id, "order")


def _checked(identifiers: tuple[_Identifier, ...]) -> tuple[str, ...]:
    """Return hosts, sorted, each once; refuse what this CA cannot prove."""
    if not 0 < len(identifiers) <= _MOST_HOSTS:
        raise malformed(f"an order is for 1 to {_MOST_HOSTS} hosts, not {len(identifiers)}")
    for each in identifiers:
        wanted = {"type": each.type, "value": each.value}
        if each.type != "dns":
            detail = f"{each.type}: this CA issues for DNS names only"
            raise Refused("unsupportedIdentifier", detail, identifier=wanted)
        if each.value.startswith("*."):
            detail = "a wildcard is proven by dns-01, which this test CA does not have"
            raise Refused("rejectedIdentifier", detail, identifier=wanted)
        if not _HOST.fullmatch(each.value):
            raise Refused(
                "rejectedIdentifier", "it is no DNS name in lower case", identifier=wanted
            )
    return tuple(sorted({each.value for each in identifiers}))


def _authorization(account: str, host: str, expires_at: float) -> Authorization:
    challenges = (Challenge(type=kind, token=secrets.token_urlsafe(32)) for kind in CHALLENGES)
    return Authorization(
        id=new_id(),
        account=account,
        host=host,
        expires_at=expires_at,
        challenges=tuple(challenges),
    )


def _reply(ca: Ca, call: Call, order: Order, status: int = HTTPStatus.OK) -> Reply:
    url = f"{call.base}/order/{order.id}"
    body: dict[str, Any] = {
        "status": order.status(ca.now()),
        "expires": stamp(order.expires_at),
        "identifiers": [{"type": "dns", "value": host} for host in order.hosts],
        "authorizations": [f"{call.base}/authorization/{a.id}" for a in order.authorizations],
        "finalize": f"{url}/finalize",
    }
    if order.profile is not None:
        body["profile"] = order.profile
    if order.replaces is not None:
        body["replaces"] = order.replaces
    if order.certificate is not None:
        body["certificate"] = f"{call.base}/certificate/{order.certificate}"
    return Reply(body, status, {"Location": url})

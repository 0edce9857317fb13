"""Accounts: made, found, changed, given up (RFC 8555, sections 7.3 and 7.1.2.1)."""

from http import HTTPStatus
from typing import Any

import msgspec

from onehop.acme.protocol.wire import OrderStatus
from onehop.lab.ca.book import Account, new_id
from onehop.lab.ca.ca import Ca
from onehop.lab.ca.call import Call, Reply
from onehop.lab.ca.refusal import Refused, malformed, unauthorized
from onehop.lab.ca.signed import read_binding


class _New(msgspec.Struct, frozen=True, rename="camel"):
    contact: tuple[str, ...] = ()
    only_return_existing: bool = False
    external_account_binding: dict[str, Any] | None = None


class _Change(msgspec.Struct, frozen=True):
    contact: tuple[str, ...] | None = None
    status: str | None = None


def new_account(ca: Ca, call: Call) -> Reply:
    """Make an account for a key, or find the one it has."""
    if call.key is None or call.signer is not None:
        raise malformed("newAccount is signed by a key that stands in the request: jwk, not kid")
    asked = call.read(_New)
    known = ca.book.account_of(call.key)
    if known is not None:
        if not known.is_active:
            raise unauthorized("the account of this key was deactivated")
        return _reply(call, known)
    if asked.only_return_existing:
        raise Refused("accountDoesNotExist", "this key has no account")
    account = Account(
        id=new_id(),
        key=call.key,
        contact=_checked(asked.contact),
        external=_external(ca, call, asked.external_account_binding),
    )
    ca.book.enrol(account)
    return _reply(call, account, HTTPStatus.CREATED)


def account(_: Ca, call: Call) -> Reply:
    """Show an account, or change its contact, or deactivate it (sections 7.3.2 and 7.3.6)."""
    mine = _own(call)
    if call.payload:
        change = call.read(_Change)
        if change.contact is not None:
            mine.contact = _checked(change.contact)
        if change.status == "deactivated":
            mine.is_active = False
        elif change.status is not None:
            raise malformed("status: an account can only become deactivated")
    return _reply(call, mine)


def orders(ca: Ca, call: Call) -> Reply:
    """List an account's orders that are not invalid, on one page."""
    mine, now = _own(call), ca.now()
    alive = [
        f"{call.base}/order/{order.id}"
        for order in ca.book.orders_of(mine.id)
        if order.status(now) is not OrderStatus.INVALID
    ]
    return Reply({"orders": alive})


def _own(call: Call) -> Account:
    if call.account.id != call.parts["id"]:
        raise unauthorized("this is somebody else's account")
    return call.account


def _external(ca: Ca, call: Call, binding: dict[str, Any] | None) -> str | None:
    keys = ca.options.external_accounts
    if not keys:
        return None
    if binding is None or call.key is None:
        raise Refused(
            "externalAccountRequired",
            "this CA wants an externalAccountBinding",
            status=HTTPStatus.FORBIDDEN,
        )
    return read_binding(binding, call.key, url=f"{call.base}{call.path}", keys=keys)


def _checked(contact: tuple[str, ...]) -> tuple[str, ...]:
    for each in contact:
        scheme, _, address = each.partition(":")
        if scheme != "mailto":
            raise Refused("unsupportedContact", f"{each!r}: only mailto is understood")
        if address.count("@") != 1 or not all(address.split("@")):
            raise Refused("invalidContact", f"{each!r} is no e-mail address")
    return contact


def _reply(call: Call, account: Account, status: int = HTTPStatus.OK) -> Reply:
    url = f"{call.base}/account/{account.id}"
    body = {
        "status": "valid" if account.is_active else "deactivated",
        "contact": account.contact,
        "orders": f"{url}/orders",
    }
    return Reply(body, status, {"Location": url})

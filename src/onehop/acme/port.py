"""What the engine needs of the program that owns it.

Implementations raise `TransientError` for what the world does wrong; the engine tries again.
Everything may be called again after a crash in the middle of it, with the same arguments.
"""

from typing import Protocol, TypeAlias

import msgspec

from onehop.acme.saved import Account, Saved
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef


class Absent(msgspec.Struct, frozen=True):
    """There is no such Secret, or it is ours and empty."""


class Foreign(msgspec.Struct, frozen=True):
    """The Secret is somebody else's: it is never touched.

    Attributes:
        why: whose, or by what that is known; one clause.
    """

    why: str


class Held(msgspec.Struct, frozen=True):
    """The Secret is ours, and holds this."""

    chain_pem: str
    key_pem: SecretText


Holding: TypeAlias = Absent | Foreign | Held


class Vault(Protocol):
    """Where keys, certificates and orders under way are kept.

    Everything that is saved holds private keys. One writer at a time: who owns the engine sees to
    it (a Lease) that no two of them run on one Vault.
    """

    async def load_account(self, issuer: str) -> Account | None:
        """Return the account of an issuer."""
        ...

    async def save_account(self, issuer: str, account: Account) -> None:
        """Keep the account of an issuer; it is on stable storage when this returns."""
        ...

    async def load(self, secret: ObjectRef) -> Saved | None:
        """Return what was saved for a Secret."""
        ...

    async def save(self, secret: ObjectRef, saved: Saved) -> None:
        """Keep a record, in place of the last; it is on stable storage when this returns."""
        ...

    async def look(self, secret: ObjectRef) -> Holding:
        """Return what the Secret holds, as fresh as can be had."""
        ...

    async def store(self, secret: ObjectRef, bundle: Held) -> Foreign | None:
        """Write chain and key into the Secret, with marks that say it is ours.

        Only if it still is as it was looked at; else it is looked at again.

        Returns:
            Whose it is by now, if it is not ours; then nothing was written.
        """
        ...


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET http://HOST/.well-known/acme-challenge/TOKEN` (RFC 8555, section 8.3)."""

    host: str
    token: str
    body: str


class AlpnAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown to a client that offers ALPN `acme-tls/1` and SNI HOST (RFC 8737)."""

    host: str
    chain_pem: str
    key_pem: SecretText


ResponderAnswer: TypeAlias = HttpAnswer | AlpnAnswer


class Responder(Protocol):
    """The load balancer, as far as it answers for hosts.

    Answers stay until they are withdrawn. Those that an engine left when it stopped are for
    orders still alive: to keep them across a restart saves an order; they may go after an hour.
    """

    async def publish(self, answer: ResponderAnswer) -> None:
        """Have every host of the load balancer give the answer from soon on."""
        ...

    async def ready(self, answer: ResponderAnswer) -> None:
        """Return when every host of the load balancer gives the answer.

        Raises:
            TransientError: that took too long.
        """
        ...

    async def withdraw(self, answer: ResponderAnswer) -> None:
        """Stop giving the answer; one that was never published is no fault."""
        ...

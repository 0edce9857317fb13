"""The engine's Vault, over Secrets: its own beside our Lease, and the users' where who asks is.

A user's Secret that does not carry our marks is never written, not even for a moment: it is
created only where there is none, and changed only as it was seen.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import ceil
from time import time
from typing import Final

import msgspec
import structlog

from onehop.acme.port import Absent, Foreign, Held, Holding
from onehop.acme.quota import DAY_S
from onehop.acme.saved import (
    Account,
    Saved,
    decode_account,
    decode_saved,
    encode_account,
    encode_saved,
)
from onehop.base.errors import KubeConflict, TransientError
from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.control.issuing.mark import annotations_of_ours, labels_of_ours, why_foreign
from onehop.control.issuing.name import account_name, record_name
from onehop.control.issuing.secrets import SecretChange, SecretStore, secret_ref
from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef

TLS: Final = "kubernetes.io/tls"
CHAIN: Final = "tls.crt"
KEY: Final = "tls.key"
"""https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets"""

ACCOUNT: Final = "acme-account"
RECORD: Final = "acme-record"
RECORD_OF: Final = "onehop.dev/acme-record-of"
KEEP_UNTIL: Final = "onehop.dev/acme-keep-until"
LONGEST_WINDOW_S: Final = 8 * DAY_S
"""The longest for which a CA counts (`acme.quota`), and a day."""

_ENTRY: Final = "json"
_ATTEMPTS: Final = 5

log = structlog.get_logger(__name__)


class SecretVault:
    """Implements `acme.port.Vault`.

    Args:
        store: where Secrets are.
        namespace: of our own Secrets.
        installation: who we are among several onehops of one cluster; whoever shares the Lease
            says the same, so it is the Lease's namespace.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        store: SecretStore,
        namespace: str,
        installation: str,
        now: Callable[[], float] = time,
    ) -> None:
        self._store = store
        self._namespace = namespace
        self._installation = installation
        self._now = now
        self._seen: dict[ObjectRef, Meta | None] = {}
        """How our own Secrets were seen last, None if they were not there: a write says so, and
        needs no look before it."""
        self._looked: dict[ObjectRef, Meta | None] = {}
        """The same for users' Secrets that are ours to write."""

    async def load_account(self, issuer: str) -> Account | None:
        """Return the account of an issuer."""
        data = await self._read(account_name(issuer))
        return decode_account(data) if data else None

    async def save_account(self, issuer: str, account: Account) -> None:
        """Keep the account of an issuer."""
        await self._keep(account_name(issuer), ACCOUNT, encode_account(account), {})

    async def load(self, secret: ObjectRef) -> Saved | None:
        """Return what was saved for a Secret."""
        data = await self._read(record_name(secret))
        return decode_saved(data) if data else None

    async def save(self, secret: ObjectRef, saved: Saved) -> None:
        """Keep a record, in place of the last."""
        last = max((deed.at for deed in saved.deeds), default=self._now())
        annotations = {
            RECORD_OF: f"{secret.namespace}/{secret.name}",
            KEEP_UNTIL: _timestamp(last + LONGEST_WINDOW_S),
        }
        await self._keep(record_name(secret), RECORD, encode_saved(saved), annotations)

    async def look(self, secret: ObjectRef) -> Holding:
        """Return what the Secret holds."""
        self._looked.pop(secret, None)
        found = await self._store.find(secret)
        holding = self._holding(found)
        if not isinstance(holding, Foreign):
            self._looked[secret] = _place(found)
        return holding

    async def store(self, secret: ObjectRef, bundle: Held) -> Foreign | None:
        """Write chain and key into the Secret as it was looked at last; if it changed, look again.

        The API refuses to create what is there, and to change what is not as it was seen. So a
        Secret that somebody has taken over is found out without a look before the write.
        """
        for _ in range(_ATTEMPTS):
            if secret not in self._looked:
                holding = await self.look(secret)
                if isinstance(holding, Foreign):
                    return holding
                if holding == bundle:
                    return None  # stored before a crash, or before the answer was lost
            try:
                await self._put(secret, self._looked.pop(secret), bundle)
            except KubeConflict:
                continue  # somebody was faster: perhaps it is theirs now
            return None
        raise TransientError(f"{secret} is written by somebody all the time")

    async def sweep(self, wished: frozenset[ObjectRef]) -> int:
        """Delete records that nobody wishes for and no CA counts any more; return how many.

        A record is worth more than its certificate: a Secret that is deleted and wished for again
        must not make us forget what the CA counts. Accounts always stay.
        """
        wanted = {record_name(secret) for secret in wished}
        now, swept = _timestamp(self._now()), 0
        for meta in await self._store.marked(self._namespace, RECORD):
            keep_until = meta.annotation(KEEP_UNTIL)
            if meta.name in wanted or keep_until is None or now < keep_until:
                continue
            if why_foreign(meta, self._installation):
                continue
            try:
                await self._store.delete(meta)
            except KubeConflict:
                continue  # somebody wrote it just now, so it is wished for again
            self._seen.pop(secret_ref(self._namespace, meta.name), None)
            swept += 1
            log.info("acme_record_deleted", record=meta.name, of=meta.annotation(RECORD_OF))
        return swept

    def _holding(self, found: Secret | None) -> Holding:
        if found is None:
            return Absent()
        if found.metadata.deletion_timestamp is not None:
            name = f"Secret {found.metadata.namespace}/{found.metadata.name}"
            raise TransientError(f"{name} is being deleted; another one is made when it is gone")
        why = why_foreign(found.metadata, self._installation)
        if why:
            return Foreign(why)
        if found.type != TLS:
            return Foreign(
                f"it has our marks, but its type is {found.type}, and types cannot change"
            )
        return _held(found)

    async def _put(self, secret: ObjectRef, seen: Meta | None, bundle: Held) -> None:
        data = {CHAIN: bundle.chain_pem.encode(), KEY: bundle.key_pem.reveal.encode()}
        if seen is not None:
            await self._store.change(seen, SecretChange(data=data))
            return
        metadata = self._meta(secret, "", {})
        await self._store.create(Secret(metadata=metadata, type=TLS, data=data))

    async def _read(self, name: str) -> bytes | None:
        secret = secret_ref(self._namespace, name)
        found = await self._store.find(secret)
        if found is None:
            self._seen[secret] = None
            return None
        self._seen[secret] = self._own(found)
        return (found.data or {}).get(_ENTRY)

    async def _keep(
        self, name: str, component: str, data: bytes, annotations: Mapping[str, str]
    ) -> None:
        """Write one of our own Secrets; what was seen of it last saves looking at it first."""
        secret = secret_ref(self._namespace, name)
        is_known, seen = secret in self._seen, self._seen.pop(secret, None)
        for _ in range(_ATTEMPTS):
            try:
                if not is_known:
                    found = await self._store.find(secret)
                    seen = self._own(found) if found is not None else None
                if seen is None:
                    metadata = self._meta(secret, component, annotations)
                    new = Secret(
                        metadata=metadata, type=f"onehop.dev/{component}", data={_ENTRY: data}
                    )
                    kept = await self._store.create(new)
                else:
                    change = SecretChange(data={_ENTRY: data}, annotations=annotations)
                    kept = await self._store.change(seen, change)
            except KubeConflict:
                is_known = False  # of an earlier leader's, or by hand: who leads is right
                continue
            self._seen[secret] = kept.metadata
            return
        raise TransientError(f"{secret} is written by somebody all the time")

    def _own(self, found: Secret) -> Meta:
        why = why_foreign(found.metadata, self._installation)
        if why:
            name = f"Secret {found.metadata.namespace}/{found.metadata.name}"
            raise TransientError(f"{name} is in our way: {why}; rename it, or delete it")
        return found.metadata

    def _meta(self, secret: ObjectRef, component: str, annotations: Mapping[str, str]) -> Meta:
        return Meta(
            name=secret.name,
            namespace=secret.namespace,
            labels=labels_of_ours(component),
            annotations={**annotations_of_ours(self._installation), **annotations},
        )


def _place(found: Secret | None) -> Meta | None:
    """Return what a write has to say of a Secret that was seen; the rest need not be kept."""
    if found is None:
        return None
    return msgspec.structs.replace(found.metadata, labels=None, annotations=None)


def _held(found: Secret) -> Held | Absent:
    """Return chain and key; a Secret that lacks one of them is as good as empty."""
    data = found.data or {}
    try:
        chain, key = (data.get(entry, b"").decode() for entry in (CHAIN, KEY))
    except UnicodeDecodeError:
        return Absent()
    return Held(chain, SecretText(key)) if chain and key else Absent()


def _timestamp(moment: float) -> str:
    """Return a time as RFC 3339 in UTC, rounded up: its text sorts as the times do."""
    return datetime.fromtimestamp(ceil(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

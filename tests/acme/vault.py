"""A Vault in memory that survives an engine, as bytes, and that can be told to fail."""

from collections.abc import Callable

from onehop.acme.port import Absent, Foreign, Held, Holding
from onehop.acme.saved import (
    Account,
    Saved,
    decode_account,
    decode_saved,
    encode_account,
    encode_saved,
)
from onehop.model.ident import ObjectRef


class MemoryVault:
    """Keeps bytes, so that what is not serialised is lost.

    Attributes:
        before, after: called with the name of each write, just before and after it takes place;
            what they raise flies into the engine.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, bytes] = {}
        self.records: dict[ObjectRef, bytes] = {}
        self.secrets: dict[ObjectRef, Held] = {}
        self.foreign: dict[ObjectRef, Foreign] = {}
        self.writes: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None

    async def load_account(self, issuer: str) -> Account | None:
        data = self.accounts.get(issuer)
        return decode_account(data) if data else None

    async def save_account(self, issuer: str, account: Account) -> None:
        with _Write(self, "save_account"):
            self.accounts[issuer] = encode_account(account)

    async def load(self, secret: ObjectRef) -> Saved | None:
        data = self.records.get(secret)
        return decode_saved(data) if data else None

    async def save(self, secret: ObjectRef, saved: Saved) -> None:
        with _Write(self, "save"):
            self.records[secret] = encode_saved(saved)

    async def look(self, secret: ObjectRef) -> Holding:
        self.before("look")
        return self.foreign.get(secret) or self.secrets.get(secret) or Absent()

    async def store(self, secret: ObjectRef, bundle: Held) -> Foreign | None:
        with _Write(self, "store"):
            if secret in self.foreign:
                return self.foreign[secret]
            self.secrets[secret] = bundle
            return None


class _Write:
    def __init__(self, vault: MemoryVault, name: str) -> None:
        self._vault = vault
        self._name = name

    def __enter__(self) -> None:
        self._vault.before(self._name)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._vault.writes.append(self._name)
            self._vault.after(self._name)

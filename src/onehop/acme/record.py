"""The memory of one Secret: what is saved for it, and whether the Vault has it yet."""

from collections.abc import Iterable

import msgspec

from onehop.acme.port import Vault
from onehop.acme.quota import Deed, Ledger
from onehop.acme.saved import Saved, SavedOrder, Trouble, Window
from onehop.model.ident import ObjectRef


class Record:
    """What is saved for a Secret.

    When the Vault fails, the newest is kept here and written first of all next time. So an
    outage of the Vault makes no second order; only a crash during it can.
    """

    def __init__(self, secret: ObjectRef, vault: Vault, ledger: Ledger) -> None:
        self._secret = secret
        self._vault = vault
        self._ledger = ledger
        self._saved: Saved | None = None
        self._is_written = True
        self.is_inherited = False
        """Whether the order is one of an earlier process, and this one has proven nothing yet."""

    @property
    def is_written(self) -> bool:
        """Whether the Vault has the newest."""
        return self._is_written

    @property
    def saved(self) -> Saved:
        """The newest; empty before `load`."""
        return self._saved or Saved()

    async def load(self) -> None:
        """Have what was saved, once, and have the Vault have what it lacks."""
        if self._saved is None:
            self._saved = await self._vault.load(self._secret) or Saved()
            self._ledger.put(self._secret, self._saved.deeds)
            self.is_inherited = self._saved.order is not None
        if not self._is_written:
            await self._write(self._saved)

    async def placed(self, order: SavedOrder, deed: Deed, *, forget_s: float) -> None:
        """Keep an order that was placed, before anything depends on it."""
        self.is_inherited = False
        deeds = _recent((*self.saved.deeds, deed), deed.at - forget_s)
        await self._write(msgspec.structs.replace(self.saved, order=order, deeds=deeds))

    async def found(self, order: SavedOrder | None) -> None:
        """Keep where an order was found, or that there is none."""
        await self._write(msgspec.structs.replace(self.saved, order=order))

    async def dropped(self, deeds: Iterable[Deed]) -> None:
        """Forget an order that a crash has spoilt."""
        self.is_inherited = False
        deeds = (*self.saved.deeds, *deeds)
        await self._write(msgspec.structs.replace(self.saved, order=None, deeds=deeds))

    async def failed(
        self, trouble: Trouble, *, order: SavedOrder | None, deeds: Iterable[Deed] = ()
    ) -> None:
        """Keep what went wrong, and when to try again."""
        all_deeds = (*self.saved.deeds, *deeds)
        await self._write(
            msgspec.structs.replace(self.saved, trouble=trouble, order=order, deeds=all_deeds)
        )

    async def issued(self, directory: str) -> None:
        """Forget the order and all trouble: the certificate is in the Secret."""
        saved = self.saved
        await self._write(
            msgspec.structs.replace(
                saved, order=None, trouble=None, window=None, directory=directory
            )
        )

    async def told(self, window: Window) -> None:
        """Keep when the CA would like the renewal."""
        await self._write(msgspec.structs.replace(self.saved, window=window))

    async def _write(self, saved: Saved) -> None:
        self._saved, self._is_written = saved, False
        self._ledger.put(self._secret, saved.deeds)
        await self._vault.save(self._secret, saved)
        self._is_written = self._saved is saved


def _recent(deeds: Iterable[Deed], since: float) -> tuple[Deed, ...]:
    return tuple(deed for deed in deeds if deed.at > since)

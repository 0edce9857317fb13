"""VIPs on this host: there before a listener needs them, gone after the last one."""

from onehop.model.address import IpAddr
from onehop.model.ident import ObjectRef
from onehop.model.listener import Vip
from onehop.model.model import Change, Table
from onehop.model.problem import Problem, Reason
from onehop.net import AddressBinder, AddressInUse


class Binding:
    """Follows the Vip rows of changes with an `AddressBinder`.

    An address that somebody else answers for is not taken; it is a Problem of the objects served
    on it, and is tried again with every change that speaks of it.
    """

    def __init__(self, binder: AddressBinder) -> None:
        self._binder = binder
        self._refused: dict[IpAddr, tuple[Problem, ...]] = {}

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with addresses now."""
        return tuple(problem for problems in self._refused.values() for problem in problems)

    async def prepare(self, change: Change) -> None:
        """Bind the addresses that a change brings."""
        for row in change.upserts:
            if isinstance(row, Vip):
                self._refused.pop(row.address, None)
                try:
                    await self._binder.bind(row.address)
                except AddressInUse as err:
                    self._refused[row.address] = tuple(
                        Problem(
                            subject=owner,
                            reason=Reason.ADDRESS_IN_USE,
                            message=f"{err}; it is not bound here until the other lets it go",
                        )
                        for owner in row.owners or (ObjectRef("Address", "", row.address),)
                    )

    async def release(self, change: Change) -> None:
        """Unbind the addresses that a change takes away."""
        for key in change.removals:
            if key.table is Table.VIP:
                self._refused.pop(IpAddr(key.id), None)
                await self._binder.unbind(IpAddr(key.id))

    async def run(self) -> None:
        """Put bound addresses back whenever they vanish, until cancelled."""
        await self._binder.keep_bound()

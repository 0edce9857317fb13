"""What it means to bind a VIP, and how it is refused."""

import asyncio
from typing import Protocol

from onehop.base.errors import RejectedError
from onehop.model.address import IpAddr


class AddressInUse(RejectedError):  # noqa: N818  named like the Problem that it becomes
    """The address was not bound, for another machine on the link has it.

    Attributes:
        mac: who answered, as `02:00:00:00:00:01`.
    """

    def __init__(self, address: IpAddr, *, interface: str, mac: str) -> None:
        super().__init__(f"{mac} on {interface} already answers for {address}")
        self.address = address
        self.interface = interface
        self.mac = mac


class AddressBinder(Protocol):
    """Puts VIPs on this host. Binding and unbinding are idempotent.

    Every method may raise ConfigError, when the process or the host may not do it (the message
    names what is missing), and TransientError, when the interface is not there or not up.
    """

    async def bind(self, address: IpAddr) -> None:
        """Put the address on this host and tell the link.

        Raises:
            AddressInUse: another machine answers for it.
        """
        ...

    async def unbind(self, address: IpAddr) -> None:
        """Take the address off this host if it was us who put it there."""
        ...

    async def hold(self, address: IpAddr) -> None:
        """Put the address on this host as well: whoever has it is about to let it go.

        The link is neither asked nor told; who asks it meanwhile gets to one of the two.
        """
        ...

    async def announce(self, addresses: frozenset[IpAddr]) -> None:
        """Tell the link that addresses are here."""
        ...

    async def claimed(self, addresses: frozenset[IpAddr]) -> frozenset[IpAddr]:
        """Return those that another machine on the link answers for."""
        ...

    async def bound(self) -> frozenset[IpAddr]:
        """Return the addresses that are on this host because of us, an earlier run included."""
        ...

    async def keep_bound(self) -> None:
        """Put bound addresses back whenever they vanish, until cancelled."""
        ...


class NoBinder:
    """Implements `AddressBinder` where somebody else owns the addresses (`bind: {none: true}`)."""

    def __init__(self) -> None:
        self._bound: frozenset[IpAddr] = frozenset()

    async def bind(self, address: IpAddr) -> None:
        """Take note; the address is on this host, or is translated to it, by other means."""
        self._bound |= {address}

    async def unbind(self, address: IpAddr) -> None:
        """Take note."""
        self._bound -= {address}

    async def hold(self, address: IpAddr) -> None:
        """Take note, as of any other."""
        await self.bind(address)

    async def announce(self, addresses: frozenset[IpAddr]) -> None:
        """Leave it to whoever owns them."""

    async def claimed(self, addresses: frozenset[IpAddr]) -> frozenset[IpAddr]:
        """Return none: there is no link to ask."""
        del addresses
        return frozenset()

    async def bound(self) -> frozenset[IpAddr]:
        """Return what was noted."""
        return self._bound

    async def keep_bound(self) -> None:
        """Wait: nothing here can vanish."""
        await asyncio.Event().wait()

"""Addresses that no backend may have: those that lead back to the load balancer (design rule 6).

Whoever may write an EndpointSlice, or is a kubelet, could otherwise make us dial our own control
sockets, a cloud's metadata server, or our own VIPs in a circle.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from onehop.compile.backend import options_of
from onehop.compile.inputs import ONLY
from onehop.compile.options import Options
from onehop.compile.sheet import Cell, Reader, Whole
from onehop.model.address import (
    AddressSet,
    IpAddr,
    address_set,
    is_loopback,
    is_never_a_backend,
    parse_ip,
)
from onehop.model.problem import quoted


class Refused(msgspec.Struct, frozen=True):
    """Why an address is not dialled; the rest of the sentence is the caller's."""

    why: str


class Border(msgspec.Struct, frozen=True):
    """Which addresses are on our side of the border, and whether loopback is let through."""

    ours: AddressSet = AddressSet()
    allows_loopback: bool = False

    def admit(self, text: str) -> IpAddr | Refused:
        """Return the address that a backend may have, or why it may not."""
        address = parse_ip(text)
        if address is None:
            return Refused(f"{quoted(text)} is not an IP address")
        if is_never_a_backend(address):
            if not is_loopback(address):
                return Refused(f"{address} is link-local, multicast or unspecified")
            if not self.allows_loopback:
                return Refused(f"{address} is the load balancer itself")
        if address in self.ours:
            return Refused(
                f"{address} is a load balancer address: requests would go round in circles"
            )
        return address


def _border(options: Options) -> Border:
    pooled = [ends for pool in options.address_pools for ends in pool.ranges]
    shared = [(address, address) for address in options.shared]
    return Border(address_set((*pooled, *shared)), options.allows_loopback)


def _compute(reader: Reader) -> Mapping[tuple[()], Cell[Border]]:
    return {ONLY: Cell(_border(options_of(reader)))}


BORDER: Final = Whole[tuple[()], Border]("border", _compute)


def border_of(reader: Reader) -> Border:
    """Return the present border."""
    return reader.get(BORDER, ONLY) or Border()

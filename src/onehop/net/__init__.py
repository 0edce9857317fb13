"""The host's own network: which addresses are bound to it, and who else claims them.

Enters: addresses to serve, netlink's events, frames from the link. Leaves: addresses on an
interface, announcements, refusals. `control` imports it; it knows nothing of Kubernetes.
"""

from onehop.net.addresses import AddressBinder, AddressInUse, NoBinder
from onehop.net.interface import InterfaceBinder

__all__ = ["AddressBinder", "AddressInUse", "InterfaceBinder", "NoBinder"]

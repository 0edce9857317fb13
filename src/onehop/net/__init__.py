"""The host's own network: which addresses are bound to it, and who else claims them.

Enters: addresses to serve, netlink's events, frames from the link. Leaves: addresses on an
interface, announcements, refusals. `control` imports it; it knows nothing of Kubernetes.

`interface.InterfaceBinder` is not among the names here, because it brings the whole of pyroute2:
0.1 s and 9 MiB that a host which binds nothing shall not pay for.
"""

from onehop.net.addresses import AddressBinder, AddressInUse, NoBinder

__all__ = ["AddressBinder", "AddressInUse", "NoBinder"]

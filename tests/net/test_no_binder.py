"""Addresses that somebody else puts on the host."""

from onehop.model.address import IpAddr
from onehop.net import AddressBinder, NoBinder


async def test_what_is_bound_elsewhere_is_only_noted() -> None:
    """Binding and unbinding twice is as good as once."""
    binder: AddressBinder = NoBinder()
    one, two = IpAddr("192.0.2.1"), IpAddr("2001:db8::1")

    for address in (one, two, one):
        await binder.bind(address)
    await binder.unbind(two)
    await binder.unbind(two)

    assert await binder.bound() == {one}

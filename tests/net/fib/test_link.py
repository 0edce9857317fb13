"""Which of the many messages about interfaces matter to routes."""

import struct

from onehop.base.nlmsg import Message, attribute
from onehop.net.fib.link import DEL_LINK, NEW_LINK, Links
from onehop.net.rtnetlink.value import number

UP, CARRIER, PROMISCUOUS = 0x1, 0x40 | 0x10000, 0x100


def message(kind: int, flags: int, name: str = "eth0", *, master: int | None = None) -> Message:
    payload = struct.pack("=BxHiII", 0, 1, 7, flags, 0) + attribute(3, name.encode() + b"\0")
    return Message(kind, 0, 0, payload + (number(10, master) if master else b""))


def test_only_what_routes_depend_on_is_a_change() -> None:
    """A carrier, a name, a master; not a counter or a mode."""
    links = Links()

    assert not links.note(message(NEW_LINK, 0))
    assert links.note(message(NEW_LINK, UP | CARRIER))
    assert not links.note(message(NEW_LINK, UP | CARRIER | PROMISCUOUS))
    assert links.note(message(NEW_LINK, UP))
    assert links.note(message(NEW_LINK, UP, master=3))
    assert links.note(message(NEW_LINK, UP, "wan", master=3))
    assert links.name(7) == "wan"


def test_an_interface_matters_from_when_it_is_up_until_it_is_gone() -> None:
    """Containers come and go; a new interface has no routes before it is up."""
    links = Links()

    assert links.note(message(NEW_LINK, UP))
    assert links.note(message(DEL_LINK, UP))
    assert not links.note(message(DEL_LINK, UP))


def test_an_interface_nobody_told_of_has_a_name_all_the_same() -> None:
    """The kernel is asked; what is gone again is called by its number."""
    links = Links()

    assert links.name(1) == "lo"
    assert links.name(1 << 30) == "if1073741824"

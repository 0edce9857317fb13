"""What the kernel's events mean for the areas."""

from collections.abc import Iterable
from typing import Final

import msgspec

from onehop.base.nlmsg import Message
from onehop.net.fib.link import DEL_LINK, NEW_LINK, Links
from onehop.net.fib.nexthop import DEL_NEXTHOP, NEW_NEXTHOP
from onehop.net.fib.route import DEL_ROUTE, DEL_RULE, NEW_ROUTE, NEW_RULE, Matched, read_matched

_DEL_ADDRESS: Final = 21
_ROUTES: Final = frozenset((NEW_ROUTE, DEL_ROUTE))
_RULES: Final = frozenset((NEW_RULE, DEL_RULE))
_SILENT: Final = frozenset((_DEL_ADDRESS, NEW_NEXTHOP, DEL_NEXTHOP))
"""Those that may concern routes which are not named."""


class Happened(msgspec.Struct):
    """What a handful of events comes to.

    Attributes:
        touched: prefixes of routes and rules that came, went or changed.
        is_anything: whether other routes may have changed, too, of which the kernel does not tell.
    """

    touched: list[Matched] = []
    is_anything: bool = False


def read_events(messages: Iterable[Message], links: Links) -> Happened:
    """Return what events come to; `links` is kept in step.

    IPv4 routes vanish and return without an event each when an interface goes down or loses its
    carrier, and vanish when the address goes that they name as their source; a nexthop object takes
    its routes along; a rule may send any address to another table.
    """
    happened = Happened()
    for message in messages:
        if message.kind in _ROUTES | _RULES:
            matched = read_matched(message.payload, 0, len(message.payload))
            if matched is not None:
                happened.touched.append(matched)
        if message.kind in {NEW_LINK, DEL_LINK}:
            happened.is_anything |= links.note(message)
        elif message.kind in _RULES | _SILENT:
            happened.is_anything = True
    return happened

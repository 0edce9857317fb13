"""What the kernel says of the things that we keep in it."""

import contextlib
from collections.abc import Generator

from onehop.base.nlmsg import Message
from onehop.net.rtnetlink.kernel import ROUTES, Events
from onehop.net.rtnetlink.neighbor import is_about_entry, read_entry
from onehop.net.rtnetlink.route import DEL_ROUTE, NEW_ROUTE, route_table
from onehop.net.table import TABLE


@contextlib.contextmanager
def heard(groups: int = ROUTES) -> Generator[list[int]]:
    """Collect the kinds (RTM_*) of messages while inside, in order; 0 where some were lost.

    What the kernel does by itself is left out: neighbours that it learns, and routes of its own
    tables, such as that of a link-local address, which comes a second or two after its device.
    """
    said: list[int] = []

    def hear(message: Message) -> None:
        if _is_ours(message):
            said.append(message.kind)

    with Events(groups, hear=hear, lose=lambda: said.append(0)) as events:
        yield said
        events.drain()


def _is_ours(message: Message) -> bool:
    if message.kind in {NEW_ROUTE, DEL_ROUTE}:
        return route_table(message.payload) == TABLE
    return not is_about_entry(message) or read_entry(message.payload) is not None

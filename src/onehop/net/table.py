"""The routing table that ways to Pods are kept in: ours, apart from everybody else's.

A table of our own means that whatever we do, `ip route show table main` is what it was; a rule
before the one of table main (32766, where the default route is) has it looked up first. Static
routes, tunnels and BIRD's kernel protocol write into it, each known by protocol and metric.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterator
from typing import Final

import structlog

from onehop.base.errors import TransientError
from onehop.base.nlmsg import Message
from onehop.net.rtnetlink.kernel import RULES, Events, list_all, transact
from onehop.net.rtnetlink.listing import routes_in
from onehop.net.rtnetlink.route import (
    Rule,
    list_rules,
    put_rule,
    read_rule,
    remove_route,
    remove_rule,
)

TABLE: Final = 111
"""The number of our table, and `from all lookup 111` of our rules."""
PRIORITY: Final = 32000
"""Of our rules: before main (32766)."""
PROTOCOL: Final = 111
"""RTA_PROTOCOL and FRA_PROTOCOL of all that is ours (`proto 111`)."""
LINGER_TABLE: Final = 113
"""Where routes that were withdrawn stay for a while, for what is under way (see `linger`)."""
LINGER_PRIORITY: Final = 32001
"""Of the rules for it: after ours, before main."""
BIRD: Final = 12
"""RTPROT_BIRD: what a BIRD writes into our table, which it also removes."""

STATIC_METRIC: Final = 111
"""Of routes to nodes on our link. BIRD's (32) is lower: what BGP says is preferred."""
TUNNEL_METRIC: Final = 112
"""Of routes into an overlay."""

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_RETRY_S: Final = 10.0
_PAUSE_S: Final = 0.05
"""Between two restorations, so that a war with another program stays a small one."""

_log = structlog.get_logger(__name__)


class RoutingTable:
    """The rules that have our tables looked up, for IPv4 and IPv6.

    Stopping leaves everything where it is: a restarted onehop loses nothing.
    """

    async def keep(self) -> None:
        """Put the rules there, and back whenever somebody removes them, until cancelled.

        Raises:
            ConfigError: this process may not change rules.
        """
        changed = asyncio.Event()

        def hear(_: Message) -> None:
            changed.set()

        with Events(RULES, hear=hear, lose=changed.set):
            while True:
                changed.clear()
                is_kept = await self._look()
                await asyncio.sleep(_PAUSE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if is_kept else _RETRY_S):
                        await changed.wait()

    async def put(self) -> tuple[Rule, ...]:
        """Add the rules that are missing, and return them."""
        missing = [
            rule for family in _FAMILIES for rule in _wanted_rules(family, await _rules(family))
        ]
        refused = await transact([put_rule(rule) for rule in missing])
        for index, code in refused.items():
            if code not in {errno.EEXIST, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}:
                raise TransientError(
                    f"cannot have table {missing[index].table} looked up:"
                    f" {os.strerror(code)} ({missing[index]})"
                )
        return tuple(rule for index, rule in enumerate(missing) if index not in refused)

    async def withdraw(self) -> int:
        """Remove our rules, and all routes of ours in the table; return how many routes.

        Routes that others (BIRD) put into the table stay: they remove them themselves.
        """
        requests = [
            remove_rule(rule)
            for family in _FAMILIES
            for rule in await _rules(family)
            if rule.protocol == PROTOCOL and rule.table in {TABLE, LINGER_TABLE}
        ]
        ours = [route for route in await routes_in(TABLE) if route.protocol == PROTOCOL]
        await transact([*requests, *map(remove_route, ours)])
        return len(ours)

    async def _look(self) -> bool:
        """Put the rules there; return whether they are."""
        try:
            for rule in await self.put():
                _log.info("routing_rule_put", family=_name(rule.family), table=rule.table)
        except TransientError as err:
            _log.warning("routing_rule_missing", error=str(err), retry_in_s=_RETRY_S)
            return False
        return True


async def _rules(family: int) -> list[Rule]:
    rules = [read_rule(payload) for payload in await list_all(list_rules(family))]
    return [rule for rule in rules if rule is not None]


def _wanted_rules(family: int, present: Collection[Rule]) -> Iterator[Rule]:
    """Yield the rules of ours that are not there.

    The second is for TCP alone. There is more to it than that nothing else has connections: whoever
    asks the kernel where packets would go, as `net.fib` does, names no protocol, and so is not told
    of a route that only lingers.
    """
    main = Rule(family=family, priority=PRIORITY, table=TABLE, protocol=PROTOCOL)
    linger = Rule(
        family=family,
        priority=LINGER_PRIORITY,
        table=LINGER_TABLE,
        protocol=PROTOCOL,
        ip_protocol=socket.IPPROTO_TCP,
    )
    yield from (rule for rule in (main, linger) if rule not in present)


def _name(family: int) -> str:
    return "IPv6" if family == socket.AF_INET6 else "IPv4"

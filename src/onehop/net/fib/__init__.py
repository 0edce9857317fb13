"""Who can be reached, and by which next hop: the kernel's own answer, as it changes.

Enters: netlink's events, and the prefixes that `compile` wants to know about. Leaves: `Area`s.
`control` runs it; it knows nothing of Kubernetes, and needs no privileges.

Nobody here computes routes. The kernel is asked (`kernel`), with its policy rules, tables, metrics
and nexthop objects; the routes that it tells of serve to know which addresses must be answered
alike (`prefix`), so that a hundred thousand endpoints are a few thousand questions, and which of
them an event concerns (`watch`). How long a route must stand is `steady`; whether anybody answers
where only a default route leads, `probe`. `fib` puts it together.
"""

from onehop.net.fib.fib import Fib

__all__ = ["Fib"]

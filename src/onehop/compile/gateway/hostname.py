"""Host names of listeners and routes: what they have in common, and which is more special.

`*.example.com` stands for one label or more: "`*.example.com` would match both `test.example.com`,
and `foo.test.example.com`, but not `example.com`" (`apis/v1/gateway_types.go`, Listener.Hostname).
A hostname that is not there is every host, and is written `*` here.
"""

from collections.abc import Iterator
from typing import Final

ANY: Final = "*"


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every name that fits `narrow` fits `wide`."""
    if wide in (ANY, narrow):
        return True
    return wide.startswith("*.") and narrow != ANY and narrow.endswith(wide[1:])


def intersection(one: str, other: str) -> str | None:
    """Return the names that fit both as one hostname, or None if there are none.

    `apis/v1/httproute_types.go`, HTTPRouteSpec.Hostnames: others are ignored.
    """
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def names_over(hostname: str) -> Iterator[str]:
    """Yield the hostnames that cover one, itself included, the most special first.

    "Exact matches MUST be processed before wildcard matches, and wildcard matches MUST be processed
    before fallback"; of wildcards the one with more dots (GatewaySpec.Listeners).
    """
    yield hostname
    if hostname == ANY:
        return
    _, dot, parent = hostname.removeprefix("*.").partition(".")
    while dot:
        yield f"*.{parent}"
        _, dot, parent = parent.partition(".")
    yield ANY

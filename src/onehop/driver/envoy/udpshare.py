"""Which pool a flow of datagrams goes to.

Envoy has no weighted clusters for UDP. Its matchers have fractions, drawn from a hash of their
input, and what is left of one goes to the next. So the shares are those of clusters, whatever
endpoints they have. The input is the client's port, which is another one for each flow: all of a
client's packets by one socket go one way, and clients that all speak from the same port do as well.
"""

from collections.abc import Iterator
from typing import Any, Final

from onehop.driver.envoy.proto import RuntimeFraction, SourcePortInput, UdpRoute, extension
from onehop.model.ident import PoolId
from onehop.model.listener import ForwardUdp, StreamShare

NOBODY: Final = "nobody"
"""A cluster that is not there: no pool has such an id."""

_MILLION: Final = 1_000_000


def udp_shares(handler: ForwardUdp) -> dict[str, Any]:
    """Return the matcher that leads each flow to a pool; a missing one drops its packets."""
    if not handler.shares:
        return {"on_no_match": _to(handler.pool)}
    *_, last = handler.shares
    return {
        "matcher_list": {"matchers": list(_fractions(handler.shares))},
        "on_no_match": _to(last.pool),
    }


def _fractions(shares: tuple[StreamShare, ...]) -> Iterator[dict[str, Any]]:
    """Yield each share but the last, as its part of what those before it have left.

    Each has a seed of its own: by the same one, nothing of what is left would be drawn again.
    """
    left = sum(share.weight for share in shares)
    for number, share in enumerate(shares[:-1]):
        part = {"numerator": round(_MILLION * share.weight / left), "denominator": "MILLION"}
        drawn = RuntimeFraction(runtime_fraction={"default_value": part}, seed=number)
        predicate = {
            "input": extension("port", SourcePortInput()),
            "custom_match": extension("envoy.matching.matchers.runtime_fraction", drawn),
        }
        yield {"predicate": {"single_predicate": predicate}, "on_match": _to(share.pool)}
        left -= share.weight


def _to(pool: PoolId | None) -> dict[str, Any]:
    return {"action": extension("route", UdpRoute(cluster=pool or NOBODY))}

"""What the kernel would serve only in part, known from the rows alone."""

from collections.abc import Iterator

from onehop.driver.driver import Refusal
from onehop.driver.nftables.fit import lacks, misfit
from onehop.model.model import Model, key_of


def refusals(model: Model) -> Iterator[Refusal]:
    """Yield the listeners that the kernel takes and serves in part; all others are a proxy's."""
    pools = {pool.id: pool for pool in model.pools}
    for listener in model.listeners:
        if misfit(listener, pools.get) is None:
            words = lacks(listener, pools.get)
            if words:
                yield Refusal(key_of(listener), words, is_partial=True)

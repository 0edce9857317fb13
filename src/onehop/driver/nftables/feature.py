"""What this kernel can do of that which only some listeners ask for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from onehop.driver.nftables.nft import RulesRefused, run_nft
from onehop.driver.nftables.ruleset import (
    TABLE,
    Chain,
    Draw,
    Sticky,
    render_chains,
    render_table,
)
from onehop.model.pool import Balancing, Pool, SourceIpPersistence


class Feature(StrEnum):
    """Each needs a module of the kernel that may not be there."""

    REMEMBERS = "remembers"
    HASHES = "hashes"


_PROBES: Final[Mapping[Feature, Chain]] = {
    Feature.REMEMBERS: Sticky(4, "clients4-probe", 1),
    Feature.HASHES: Draw(4, 1, is_hash=True),
}
_SAID: Final = {
    Feature.REMEMBERS: "this kernel remembers no clients (modprobe nf_tables, Linux 5.4 or newer)",
    Feature.HASHES: "this kernel cannot hash addresses (modprobe nft_hash)",
}


def features_of(pool: Pool) -> tuple[Feature, ...]:
    """Return what a pool needs of the kernel, besides what all need."""
    if isinstance(pool.persistence, SourceIpPersistence):
        return (Feature.REMEMBERS,)
    return (Feature.HASHES,) if pool.balancing is Balancing.HASH else ()


async def missing_features() -> Mapping[Feature, str]:
    """Ask the kernel, which changes nothing; return what to say of what is missing.

    Raises:
        ConfigError: nft is missing, or the right to use it.
        RulesRefused: the kernel does not even take the rules that all need.
        DriverUnavailable: nft does not end.
    """
    try:
        await _probe(*_PROBES)
    except RulesRefused:
        await _probe()
    else:
        return {}
    missing: dict[Feature, str] = {}
    for feature in _PROBES:
        try:
            await _probe(feature)
        except RulesRefused as refused:
            missing[feature] = f"{_SAID[feature]}: {refused}"
    return missing


async def _probe(*features: Feature) -> None:
    rules = render_table()
    rules += render_chains((Draw(4, 1), *(_PROBES[feature] for feature in features)))
    # Under another name: a table that is there may be one of an earlier version.
    await run_nft(rules.replace(f" {TABLE}", f" {TABLE}_probe"), checks_only=True)

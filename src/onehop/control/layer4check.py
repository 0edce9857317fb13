"""What would keep the kernel of this host from serving layer 4."""

from collections.abc import AsyncGenerator, Iterator

from onehop.base.errors import OnehopError
from onehop.control.finding import Finding
from onehop.driver.nftables.feature import missing_features
from onehop.driver.nftables.forwarding import hindrances, strict_interfaces


async def layer4_findings() -> AsyncGenerator[Finding]:
    """Yield what the kernel says to our rules, without loading them, and whether packets pass."""
    yield await _rules()
    yield _forwarding()
    for finding in _reverse_path():
        yield finding


async def _rules() -> Finding:
    check = "nftables"
    try:
        missing = await missing_features()
    except OnehopError as err:
        advice = "or leave out dataPlane.layer4: the driver serves TCP then"
        return Finding(check=check, is_good=False, said=str(err), advice=advice)
    if missing:
        said = f"the kernel takes our rules, but {'; '.join(missing.values())}"
        advice = "listeners that ask for it are the driver's"
        return Finding(check=check, is_good=True, said=said, advice=advice)
    return Finding(check=check, is_good=True, said="the kernel takes our rules")


def _forwarding() -> Finding:
    found = hindrances()
    if not found:
        return Finding(check="forwarding", is_good=True, said="IPv4 and IPv6 are passed on")
    settings = [why.removesuffix(" is 0") for why in found.values() if why.endswith(" is 0")]
    return Finding(
        check="forwarding",
        is_good=len(found) == 1,  # the other version of IP is the driver's
        said="; ".join(found.values()),
        advice=f"sysctl -w {' '.join(f'{each}=1' for each in settings)}" if settings else "",
    )


def _reverse_path() -> Iterator[Finding]:
    strict = strict_interfaces()
    if not strict:
        return
    yield Finding(
        check="rp_filter",
        is_good=True,
        said=f"1 (strict) on {', '.join(strict)}: what comes in by another interface than its"
        " sender is reached by is dropped, without a word",
        advice="if clients or Pods have several ways to this host:"
        f" sysctl -w {' '.join(f'net.ipv4.conf.{each}.rp_filter=2' for each in strict)}",
    )

"""Names cut down label by label, until a wildcard has one."""

from collections.abc import Iterator
from typing import Final

DEEPEST_WILDCARD: Final = 10
"""Labels behind the `*`."""


def labels_of_wildcard(hostname: str) -> int:
    """Return how many labels are behind the `*`; none for other names, and for `*` alone."""
    return hostname.count(".") if hostname.startswith("*.") else 0


def parent_of(labels: int, star: str) -> str:
    """Return the converters that make a name a wildcard with so many labels behind the `*`.

    A name that has fewer becomes the wildcard that it is one label below.

    Args:
        labels: behind the `*`.
        star: what stands for it.
    """
    return f"field(-1,.,{labels + 1}),regsub(^[^.]+,{star})"


def parents_of(star: str) -> Iterator[str]:
    """Yield the converters for all wildcards, the longest first."""
    return (parent_of(labels, star) for labels in range(DEEPEST_WILDCARD, 0, -1))

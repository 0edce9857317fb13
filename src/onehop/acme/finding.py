"""The outcome of one check of a host."""

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and how it is.

    Attributes:
        advice: what to do; empty when there is nothing to do.
        is_certain: False where we may see less than the CA does, so that it is no reason to
            wait with the order.
    """

    host: str
    check: str
    is_good: bool
    said: str
    advice: str = ""
    is_certain: bool = True

    @property
    def forbids(self) -> bool:
        """Whether an order would fail, and cost a rate limit."""
        return self.is_certain and not self.is_good

    def __str__(self) -> str:
        return f"{self.host}: {self.said}"

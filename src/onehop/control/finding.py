"""The outcome of one check of `onehop check`."""

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and how it is.

    Attributes:
        advice: what to do; empty when there is nothing to do.
    """

    check: str
    is_good: bool
    said: str
    advice: str = ""

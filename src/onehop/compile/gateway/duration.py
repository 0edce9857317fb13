"""Durations as Gateway API writes them (GEP-2257)."""

import re
from typing import Final

_WHOLE: Final = re.compile(r"([0-9]{1,5}(?:h|m|s|ms)){1,4}")
_PART: Final = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: str) -> float | None:
    """Return the seconds of `1h30m`, `500ms`; None for what is no duration."""
    if not _WHOLE.fullmatch(text):
        return None
    return round(sum(int(n) * _UNITS_S[unit] for n, unit in _PART.findall(text)), 3)

"""Nonces: each is good for one request (RFC 8555, section 6.5)."""

import secrets
from collections import OrderedDict
from typing import Final

_MOST: Final = 10_000


class Nonces:
    """Those that were given out and not used yet; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._open = OrderedDict[str, None]()

    def new(self) -> str:
        """Return one that nobody has had: 128 random bits, base64url."""
        nonce = secrets.token_urlsafe(16)
        self._open[nonce] = None
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        return nonce

    def use(self, nonce: str) -> bool:
        """Take a nonce back; False if it is not ours, or was used."""
        return self._open.pop(nonce, self) is None

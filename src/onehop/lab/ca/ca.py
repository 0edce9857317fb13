"""A CA as its requests see it: what it was told, what it wrote down, what time it is."""

import asyncio
from collections.abc import Callable, Coroutine

from cryptography import x509

from onehop.lab.ca.authority import Authority
from onehop.lab.ca.book import Book
from onehop.lab.ca.nonce import Nonces
from onehop.lab.ca.option import CaOptions


class Ca:
    """A running CA.

    Attributes:
        url: its server, such as `https://127.0.0.1:40123`.
        book: what it has written down: who looks may look, who writes cheats.
    """

    def __init__(
        self,
        options: CaOptions,
        authority: Authority,
        *,
        now: Callable[[], float],
        group: asyncio.TaskGroup,
    ) -> None:
        self.url = ""
        self.options = options
        self.authority = authority
        self.book = Book()
        self.nonces = Nonces()
        self.now = now
        self._group = group
        self._looking = set[asyncio.Task[None]]()
        self._windows: dict[str, tuple[float, float]] = {}

    @property
    def directory(self) -> str:
        """The URL that clients are given (RFC 8555, section 7.1.1)."""
        return f"{self.url}/directory"

    @property
    def root_pem(self) -> str:
        """Whom clients of the CA, and of what it certifies, have to trust."""
        return self.authority.root_pem

    def begin(self, look: Coroutine[None, None, None]) -> None:
        """Have a validation run beside the requests."""
        task = self._group.create_task(look)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def stop(self) -> None:
        """Give up what is being looked at."""
        for task in self._looking:
            task.cancel()

    def suggest(self, certificate: str, opens: float, closes: float) -> None:
        """Move a certificate's renewal window (RFC 9773), as before a mass revocation.

        Args:
            certificate: its id, as in `book.issued`.
            opens: seconds since the epoch.
            closes: seconds since the epoch.
        """
        self._windows[certificate] = (opens, closes)

    def window(self, certificate: str) -> tuple[float, float]:
        """Return when a certificate had best be renewed: opens, closes."""
        leaf = self.book.issued[certificate].leaf
        begins, ends = validity(leaf)
        opens, closes = (begins + share * (ends - begins) for share in self.options.renew_at)
        return self._windows.get(certificate, (opens, closes))


def validity(leaf: x509.Certificate) -> tuple[float, float]:
    """Return from when until when a certificate is good, in seconds since the epoch."""
    return leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()

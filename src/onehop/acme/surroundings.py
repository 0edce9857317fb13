"""What all wishes of an engine share."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from onehop.acme.issuer import CertificateWish
from onehop.acme.port import Vault
from onehop.acme.preflight import Preflight
from onehop.acme.quota import Ledger
from onehop.acme.setting import Setting
from onehop.acme.state import State


class Surroundings(NamedTuple):
    """Handed to each of them as one.

    Attributes:
        places: how many orders may be under way at once.
        others: URLs of the orders of all wishes but one's.
        report: told each new state.
    """

    vault: Vault
    ledger: Ledger
    setting: Setting
    places: asyncio.Semaphore
    preflight: Preflight | None
    others: Callable[[CertificateWish], frozenset[str]]
    report: Callable[[State], None]

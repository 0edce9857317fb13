"""Many certificates at once: each wish is tended by a task of its own, none waits for another.

What they share is bounded: so many orders under way, so many requests in flight per CA, and the
CA's rate limits, counted together.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from onehop.acme.clock import Clock, SystemClock
from onehop.acme.issuer import CertificateWish, Issuer
from onehop.acme.leaf import read_leaf
from onehop.acme.port import Held, Responder, Vault
from onehop.acme.preflight import Preflight
from onehop.acme.quota import Ledger
from onehop.acme.record import Record
from onehop.acme.refusal import Refusal
from onehop.acme.session import Session
from onehop.acme.setting import Setting
from onehop.acme.state import State
from onehop.acme.surroundings import Surroundings
from onehop.acme.tending import Tending
from onehop.acme.together import together
from onehop.base.errors import TransientError
from onehop.base.latest import Latest
from onehop.model.ident import ObjectRef

_log = structlog.get_logger(__name__)

_ORDERS_AT_ONCE: Final = 32
_LOADS_AT_ONCE: Final = 16


class Engine:
    """Gets, keeps and renews certificates, for as long as `run` runs.

    Who owns it sees to it that no two engines run on one Vault (a Lease); two of them would do no
    harm but order twice.

    Args:
        preflight: checks hosts before their first order; None does not.
        orders_at_once: orders under way, over all issuers.
        patience_s: waits that are longer give their place to another certificate.
        dice: a number in [0, 1), uniformly distributed.
        report: called with each new state of a wish, on the event loop; it shall not block.
    """

    def __init__(  # noqa: PLR0913  its ports and knobs, all by name
        self,
        issuers: Iterable[Issuer],
        *,
        vault: Vault,
        responder: Responder,
        preflight: Preflight | None = None,
        clock: Clock | None = None,
        dice: Callable[[], float] = random.random,
        orders_at_once: int = _ORDERS_AT_ONCE,
        patience_s: float = 30.0,
        report: Callable[[State], None] = lambda _: None,
    ) -> None:
        setting = Setting(clock or SystemClock(), dice, responder, patience_s)
        self._vault = vault
        self._ledger = Ledger()
        self._sessions = {issuer.name: Session(issuer, vault, setting) for issuer in issuers}
        self._wishes = Latest[Mapping[ObjectRef, CertificateWish]]()
        self._records: dict[ObjectRef, Record] = {}
        self._tended: dict[ObjectRef, tuple[Tending, asyncio.Task[None]]] = {}
        self._around = Surroundings(
            vault=vault,
            ledger=self._ledger,
            setting=setting,
            places=asyncio.Semaphore(orders_at_once),
            preflight=preflight,
            others=self._orders_of_others,
            report=report,
        )

    def wish(self, wishes: Iterable[CertificateWish]) -> None:
        """Say what is wished: all of it, in place of what was wished before.

        A wish for an issuer that there is not is the program's fault, and raises KeyError in `run`.
        """
        self._wishes.put({wish.secret: wish for wish in wishes})

    def states(self) -> Mapping[ObjectRef, State]:
        """Return how every wish is doing."""
        return {secret: tending.state for secret, (tending, _) in self._tended.items()}

    def renew(self, secret: ObjectRef) -> bool:
        """Renew a certificate now, whatever its age; False if nobody wishes for it."""
        tended = self._tended.get(secret)
        if tended is not None:
            tended[0].renew()
        return tended is not None

    def look(self, secret: ObjectRef) -> None:
        """Look at a Secret again: somebody may have changed it, or taken it away."""
        if secret in self._tended:
            self._tended[secret][0].look()

    async def revoke(self, secret: ObjectRef, issuer: str, reason: int = 0) -> Refusal | None:
        """Revoke what a Secret holds (RFC 8555, section 7.6), and leave it there.

        To have it replaced as well, `renew` it.

        Args:
            secret: ours.
            issuer: whose account it was issued to.
            reason: of RFC 5280, section 5.3.1; 1 says that the key is known to others.

        Raises:
            TransientError: the CA or the Vault does not answer.
        """
        holding = await self._vault.look(secret)
        leaf = read_leaf(holding) if isinstance(holding, Held) else None
        if leaf is None:
            return Refusal(kind="nothingToRevoke", detail=f"{secret} holds no certificate of ours")
        client = await self._sessions[issuer].client()
        if isinstance(client, Refusal):
            return client
        return await client.revoke(leaf.der, reason)

    async def run(self) -> None:
        """Tend to what is wished until cancelled."""
        revision = 0
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    revision, wishes = await self._wishes.newer(revision)
                    await self._turn_to(wishes, group)
        finally:
            self._tended.clear()
            for session in self._sessions.values():
                await session.close()

    async def _turn_to(
        self, wishes: Mapping[ObjectRef, CertificateWish], group: asyncio.TaskGroup
    ) -> None:
        """Stop tending to what is not wished any more, and start with what is new."""
        stopping: list[asyncio.Task[None]] = []
        left: list[Tending] = []
        for secret, (tending, task) in list(self._tended.items()):
            if wishes.get(secret) != tending.wish:
                task.cancel()
                stopping.append(task)
                left.append(tending)
                del self._tended[secret]
        if stopping:  # a record has one writer
            await asyncio.wait(stopping)
            await together(tending.leave() for tending in left)
        for secret in self._records.keys() - wishes.keys():
            self._forget(secret)
        new = [wish for secret, wish in wishes.items() if secret not in self._tended]
        await self._load(new)
        for wish in new:
            session = self._sessions[wish.issuer]
            tending = Tending(wish, session, self._records[wish.secret], self._around)
            self._tended[wish.secret] = tending, group.create_task(tending.run())

    def _forget(self, secret: ObjectRef) -> None:
        """Forget a Secret; the CA still counts what was done for it."""
        if self._records[secret].is_written:
            del self._records[secret]

    async def _load(self, wishes: Iterable[CertificateWish]) -> None:
        """Read what was saved before anything is ordered: all of it counts for limits."""
        turn = asyncio.Semaphore(_LOADS_AT_ONCE)

        async def load(record: Record) -> None:
            async with turn:
                try:
                    await record.load()
                except TransientError as err:
                    _log.warning("acme_record_unread", error=str(err))  # its own task tries again

        for wish in wishes:
            if wish.secret not in self._records:
                self._records[wish.secret] = Record(wish.secret, self._vault, self._ledger)
        await together(load(self._records[wish.secret]) for wish in wishes)

    def _orders_of_others(self, wish: CertificateWish) -> frozenset[str]:
        orders = (
            record.saved.order for secret, record in self._records.items() if secret != wish.secret
        )
        return frozenset(order.url for order in orders if order is not None and order.url)

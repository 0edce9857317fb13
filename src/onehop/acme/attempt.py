"""One certificate on its way: takes the steps that `order.next_step` names, one after another.

What the world does wrong between two steps costs a look at the order, never the order: what was
seen is forgotten, and the machine says again what is next.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias, assert_never

import msgspec

from onehop.acme.backoff import AFTER_OUTAGE, AFTER_REFUSAL, before_look_s
from onehop.acme.issuer import CertificateWish, KeyType
from onehop.acme.key import new_key, signing_request
from onehop.acme.leaf import Leaf, check_issued
from onehop.acme.order import (
    AwaitAuthorization,
    AwaitOrder,
    Download,
    Finalize,
    GiveUp,
    PlaceOrder,
    Proof,
    Prove,
    ReadAuthorizations,
    ReadOrder,
    SeekOrder,
    Seen,
    Step,
    choose,
    next_step,
    with_authorization,
)
from onehop.acme.port import Foreign, Held
from onehop.acme.protocol.client import AcmeClient
from onehop.acme.protocol.wire import (
    Authorization,
    AuthorizationStatus,
    ChallengeStatus,
    Order,
    OrderStatus,
)
from onehop.acme.prover import Prover
from onehop.acme.quota import Deed, DeedKind, Hold, first_hold, longest_window_s
from onehop.acme.record import Record
from onehop.acme.refusal import Refusal
from onehop.acme.saved import SavedOrder, Trouble
from onehop.acme.session import Session
from onehop.acme.state import Phase
from onehop.acme.surroundings import Surroundings
from onehop.acme.together import together
from onehop.base.errors import (
    AcmeAnswerLost,
    AcmeNonsense,
    AcmeUnavailable,
    OnehopError,
    TransientError,
)

_LONGEST_S: Final = 600.0
"""After so long without an end, the place goes to another certificate for a while."""
_MOST_MISSES: Final = 5


class Postponed(msgspec.Struct, frozen=True):
    """Not now: a limit, ours or the CA's, or a refusal. What was said is in the record."""

    phase: Phase
    until: float
    said: str


Outcome: TypeAlias = Leaf | Postponed | Foreign


class Attempt:
    """One run for one wish.

    Args:
        replaces: the certificate that is renewed, as RFC 9773 knows it.
        report: told what is being done.
    """

    def __init__(  # noqa: PLR0913  each is a thing of its own
        self,
        wish: CertificateWish,
        *,
        record: Record,
        session: Session,
        client: AcmeClient,
        prover: Prover,
        around: Surroundings,
        replaces: str | None,
        report: Callable[[Phase], None],
    ) -> None:
        self._wish = wish
        self._record = record
        self._session = session
        self._issuer = session.issuer
        self._client = client
        self._around = around
        self._ledger = around.ledger
        self._setting = around.setting
        self._replaces = replaces
        self._report = report
        self._seen = Seen()
        self._looks = 0
        self._prover = prover

    async def run(self) -> Outcome:
        """Take steps until the certificate is stored, or it is better to stop.

        Raises:
            TransientError: the world is down for longer than a moment.
            AcmeNonsense: the CA does what no CA does.
        """
        outcome = await self._walk()
        if self._record.saved.order is None:
            await self._prover.clean()
        return outcome

    async def _walk(self) -> Outcome:
        clock = self._setting.clock
        give_up = clock.now() + _LONGEST_S
        misses = 0
        while True:
            step = next_step(self._issuer, self._fitting_order(), self._seen)
            try:
                outcome = await self._take(step)
            except TransientError as err:
                self._seen = Seen()
                misses += 1
                wait_s = AFTER_OUTAGE.wait_s(misses, self._setting.dice())
                wait_s = max(wait_s, err.retry_after_s or 0.0)
                # With a Vault that lacks what we know, nothing more is done before it has that.
                is_behind = not self._record.is_written
                if is_behind or misses > _MOST_MISSES or wait_s > self._setting.patience_s:
                    raise
                await clock.sleep(wait_s)
                continue
            if outcome is not None:
                return outcome
            if isinstance(step, PlaceOrder | Prove | Finalize):
                misses = 0  # it went on: the next fault is a first one
            if clock.now() > give_up:
                raise AcmeUnavailable(
                    f"the CA has not come to an end within {_LONGEST_S / 60:.0f} minutes"
                )

    def _fitting_order(self) -> SavedOrder | None:
        """Return the saved order if it is for what is wished now."""
        order = self._record.saved.order
        if order is None or order.directory != self._issuer.directory:
            return None
        fits = order.hosts == self._wish.hosts and order.key_type == self._key_type
        return order if fits else None

    @property
    def _key_type(self) -> KeyType:
        return self._wish.key_type or self._issuer.key_type

    async def _take(self, step: Step) -> Outcome | None:  # noqa: C901  one case a step
        """Take one step; None leads to the next one."""
        match step:
            case PlaceOrder():
                return await self._place()
            case SeekOrder():
                return await self._seek()
            case ReadOrder(url=url):
                return await self._read_order(url)
            case ReadAuthorizations(urls=urls):
                return await self._read_authorizations(urls)
            case Prove(proofs=proofs):
                return await self._prove(proofs)
            case AwaitAuthorization(url=url):
                await self._pause()
                return await self._read_authorizations((url,))
            case Finalize(order=order):
                return await self._finalize(order)
            case AwaitOrder(url=url):
                await self._pause()
                return await self._read_order(url)
            case Download(url=url):
                return await self._download(url)
            case GiveUp(refusal=refusal, failed=failed):
                return await self._give_up(refusal, failed)
            case _:
                assert_never(step)

    async def _give_up(self, refusal: Refusal, failed: tuple[str, ...]) -> Outcome | None:
        """Keep what came of it, unless it is a crash that did: then order again at once.

        While nobody was there to answer, the CA looked. That is no fault of the host, though the
        CA counts it as one, and so do we.
        """
        if not self._record.is_inherited:
            return await self._refused(refusal, failed)
        now = self._setting.clock.now()
        deed = Deed(DeedKind.FAILURE, self._issuer.directory, now, failed)
        await self._record.dropped((deed,) if failed else ())
        self._seen = Seen()
        return None

    async def _place(self) -> Outcome | None:
        """Place an order, unless a limit forbids it; keep its URL before anything else is done."""
        self._report(Phase.ORDERING)
        now = self._setting.clock.now()
        hold = self._limit(now)
        if hold is not None:
            return Postponed(Phase.LIMITED, hold.until, str(hold))
        kind = DeedKind.RENEWAL if self._replaces else DeedKind.ORDER
        deed = Deed(kind, self._issuer.directory, now, self._wish.hosts)
        # Counted before it is sent: others decide while this one is on its way.
        self._ledger.put(self._wish.secret, (*self._record.saved.deeds, deed))
        order = await self._blank_order(now)
        forget_s = longest_window_s(self._issuer.quotas)
        try:
            placed = await self._client.new_order(
                self._wish.hosts, profile=self._issuer.profile, replaces=self._replaces
            )
        except AcmeAnswerLost:
            await self._record.placed(order, deed, forget_s=forget_s)
            raise
        except OnehopError:
            self._ledger.put(self._wish.secret, self._record.saved.deeds)
            raise
        if isinstance(placed, Refusal):
            self._ledger.put(self._wish.secret, self._record.saved.deeds)
            if placed.kind == "alreadyReplaced":
                self._replaces = None
                return None
            return await self._refused(placed)
        self._seen = Seen(order=placed)
        order = msgspec.structs.replace(order, url=placed.url)
        await self._record.placed(order, deed, forget_s=forget_s)
        return None

    def _limit(self, now: float) -> Hold | None:
        return first_hold(
            self._issuer.quotas,
            self._ledger.of(self._issuer.directory),
            self._wish.hosts,
            now=now,
            is_renewal=self._replaces is not None,
        )

    async def _blank_order(self, now: float) -> SavedOrder:
        """Return an order without a URL yet, with the key of the certificate."""
        kind = self._key_type
        is_slow = kind.startswith("rsa-")
        key = await asyncio.to_thread(new_key, kind) if is_slow else new_key(kind)
        return SavedOrder(
            url=None,
            directory=self._issuer.directory,
            hosts=self._wish.hosts,
            key_type=kind,
            key_pem=key,
            placed_at=now,
        )

    async def _seek(self) -> Outcome | None:
        """Look for an order whose URL we never heard."""
        self._report(Phase.ORDERING)
        found = await self._client.find_order(self._wish.hosts, self._around.others(self._wish))
        if isinstance(found, Refusal):
            return await self._refused(found)
        saved = self._record.saved.order
        if found is None or saved is None:
            await self._record.found(None)
            return None
        if found.status in {OrderStatus.PROCESSING, OrderStatus.VALID}:
            # It was finalized, so with another key than the one we hold: it is not the lost one.
            await self._record.found(None)
            return None
        self._seen = Seen(order=found)
        await self._record.found(msgspec.structs.replace(saved, url=found.url))
        return None

    async def _read_order(self, url: str) -> Outcome | None:
        order = await self._client.order(url)
        if isinstance(order, Order):
            self._seen = msgspec.structs.replace(self._seen, order=order)
            return None
        if order.is_passing or order.kind == "accountDoesNotExist":
            return await self._refused(order)
        await self._record.found(None)  # expired, and thrown away by the CA
        self._seen = Seen()
        return None

    async def _read_authorizations(self, urls: tuple[str, ...]) -> Outcome | None:
        for read in await together(self._client.authorization(url) for url in urls):
            if isinstance(read, Refusal):
                return await self._refused(read)
            self._see(read)
        return None

    def _see(self, authorization: Authorization) -> None:
        if authorization.status is not AuthorizationStatus.PENDING:
            self._looks = 0
        self._seen = with_authorization(self._seen, authorization)

    async def _prove(self, proofs: tuple[Proof, ...]) -> Outcome | None:
        self._report(Phase.PROVING)
        self._record.is_inherited = False
        refusals = await self._prover.prove(self._client, proofs)
        told = self._seen.told | {proof.challenge.url for proof in proofs}
        self._seen = msgspec.structs.replace(self._seen, told=told)
        for proof, refusal in refusals:
            if refusal.is_passing:
                return await self._refused(refusal)
            # The CA may have looked already, told by a request whose answer was lost.
            read = await self._client.authorization(proof.authorization.url)
            if isinstance(read, Refusal):
                return await self._refused(refusal)
            self._see(read)
            again = choose(self._issuer, read)
            if again is not None and again.challenge.status is ChallengeStatus.PENDING:
                return await self._refused(refusal)
        return None

    async def _finalize(self, order: Order) -> Outcome | None:
        self._report(Phase.ISSUING)
        saved = self._record.saved.order
        assert saved is not None  # noqa: S101  the machine finalizes saved orders only
        csr = signing_request(saved.hosts, saved.key_pem)
        finalized = await self._client.finalize(order, csr)
        if isinstance(finalized, Order):
            self._looks = 0
            self._seen = msgspec.structs.replace(self._seen, order=finalized)
            return None
        if finalized.kind != "orderNotReady":
            return await self._refused(finalized)
        self._seen = Seen()  # somewhere an authorization is not valid after all
        await self._pause()
        return None

    async def _download(self, url: str) -> Outcome | None:
        """Fetch the chain, store it with its key, and only then forget the order."""
        saved = self._record.saved.order
        assert saved is not None  # noqa: S101  the machine downloads saved orders only
        chain = await self._chain(url)
        if isinstance(chain, Refusal):
            return await self._refused(chain)
        held = Held(chain, saved.key_pem)
        try:
            leaf = check_issued(held, saved.hosts)
        except AcmeNonsense:
            await self._record.found(None)
            raise
        foreign = await self._around.vault.store(self._wish.secret, held)
        if foreign is not None:
            return foreign
        await self._record.issued(self._issuer.directory)
        return leaf

    async def _chain(self, url: str) -> str | Refusal:
        """Return the chain that is preferred, if the CA offers it, else the CA's choice."""
        fetched = await self._client.chain(url)
        wanted = self._issuer.preferred_chain
        if isinstance(fetched, Refusal) or wanted is None:
            return fetched if isinstance(fetched, Refusal) else fetched[0]
        saved = self._record.saved.order
        assert saved is not None  # noqa: S101  as above
        first, alternates = fetched
        if check_issued(Held(first, saved.key_pem), saved.hosts).chain_top == wanted:
            return first
        for alternate in alternates:
            other = await self._client.chain(alternate)
            if isinstance(other, Refusal):
                continue
            if check_issued(Held(other[0], saved.key_pem), saved.hosts).chain_top == wanted:
                return other[0]
        return first

    async def _refused(self, refusal: Refusal, failed: tuple[str, ...] = ()) -> Outcome:
        """Keep what the CA said, and until when it is to be left alone with this."""
        if refusal.kind == "accountDoesNotExist":
            await self._session.lose_account()
            await self._record.found(None)
            raise AcmeUnavailable("the CA does not know our account any more; a new one is made")
        now, dice = self._setting.clock.now(), self._setting.dice()
        before = self._record.saved.trouble
        failures = before.failures if before and before.hosts == self._wish.hosts else 0
        if refusal.is_passing and refusal.retry_after_s is not None:
            wait_s = refusal.retry_after_s * (1 + dice / 10)
        else:
            failures += 1
            wait_s = max(AFTER_REFUSAL.wait_s(failures, dice), refusal.retry_after_s or 0.0)
        trouble = Trouble(
            hosts=self._wish.hosts,
            failures=failures,
            retry_at=now + wait_s,
            not_before=now + (refusal.retry_after_s or 0.0),
            said=str(refusal),
            advice=refusal.advice,
        )
        deed = Deed(DeedKind.FAILURE, self._issuer.directory, now, failed)
        await self._record.failed(
            trouble,
            order=self._record.saved.order if refusal.is_passing else None,
            deeds=(deed,) if failed else (),
        )
        return Postponed(Phase.REFUSED, trouble.retry_at, trouble.said)

    async def _pause(self) -> None:
        """Wait before looking again; longer each time. The CA's Retry-After is the transport's."""
        wait_s = before_look_s(self._looks, self._setting.dice())
        self._looks += 1
        await self._setting.clock.sleep(wait_s)

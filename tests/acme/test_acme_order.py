"""The pure machine against any CA that keeps to RFC 8555, with any losses on the way."""

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onehop.acme.issuer import Issuer
from onehop.acme.order import (
    AwaitAuthorization,
    AwaitOrder,
    Download,
    Finalize,
    GiveUp,
    PlaceOrder,
    Prove,
    ReadAuthorizations,
    ReadOrder,
    SeekOrder,
    Seen,
    next_step,
    with_authorization,
)
from onehop.acme.protocol.wire import (
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
    Order,
    OrderStatus,
)
from onehop.acme.refusal import ProblemDocument
from onehop.acme.saved import SavedOrder
from onehop.model.certificate import SecretText

ISSUER = Issuer(name="ca", directory="https://ca.example/dir")
URL = "https://ca.example/order/1"
_MOST_STEPS = 200


class ModelCa:
    """A CA in a few lines: one order, some hosts, each of which will prove valid or not."""

    def __init__(self, verdicts: list[bool], known: list[bool]) -> None:
        self.verdicts = verdicts
        self.statuses = [
            AuthorizationStatus.VALID if is_known else AuthorizationStatus.PENDING
            for is_known in known
        ]
        self.told = [False] * len(verdicts)
        self.placed = 0
        self.is_finalized = False
        self.is_issued = False

    @property
    def order(self) -> Order:
        names = [f"h{number}.example" for number in range(len(self.statuses))]
        return Order(
            status=self._status,
            identifiers=tuple(map(Identifier, names)),
            authorizations=tuple(f"{URL}/authz/{n}" for n in range(len(names))),
            finalize=f"{URL}/finalize",
            certificate=f"{URL}/certificate" if self.is_issued else None,
            url=URL,
        )

    @property
    def _status(self) -> OrderStatus:
        if AuthorizationStatus.INVALID in self.statuses:
            return OrderStatus.INVALID
        if self.is_issued:
            return OrderStatus.VALID
        if self.is_finalized:
            return OrderStatus.PROCESSING
        is_ready = all(status is AuthorizationStatus.VALID for status in self.statuses)
        return OrderStatus.READY if is_ready else OrderStatus.PENDING

    def authorization(self, url: str) -> Authorization:
        number = int(url.rpartition("/")[2])
        status = self.statuses[number]
        is_bad = status is AuthorizationStatus.INVALID
        is_told = ChallengeStatus.PROCESSING if self.told[number] else ChallengeStatus.PENDING
        challenge = Challenge(
            type="http-01",
            url=f"{url}/challenge",
            status=is_told,
            token="token",
            error=ProblemDocument(detail="not there") if is_bad else None,
        )
        return Authorization(
            identifier=Identifier(f"h{number}.example"),
            status=status,
            challenges=(challenge,),
            url=url,
        )

    def look_at_hosts(self) -> None:
        for number, is_told in enumerate(self.told):
            if is_told and self.statuses[number] is AuthorizationStatus.PENDING:
                good, bad = AuthorizationStatus.VALID, AuthorizationStatus.INVALID
                self.statuses[number] = good if self.verdicts[number] else bad


def walk(ca: ModelCa, chance: Callable[[], int]) -> tuple[str, int]:  # noqa: C901, PLR0912  a case a step
    """Take steps until the end; at each, what was seen may be lost (1), or the CA moves (2)."""
    saved: SavedOrder | None = None
    seen = Seen()
    for count in range(_MOST_STEPS):
        luck = chance()
        if luck == 1:
            seen = Seen()
        if luck == 2:
            ca.look_at_hosts()
            ca.is_issued = ca.is_issued or ca.is_finalized
        step = next_step(ISSUER, saved, seen)
        match step:
            case PlaceOrder():
                ca.placed += 1
                saved = SavedOrder(
                    url=URL,
                    directory=ISSUER.directory,
                    hosts=ca.order.hosts,
                    key_type="ecdsa-p256",
                    key_pem=SecretText(""),
                    placed_at=0.0,
                )
                seen = Seen(order=ca.order)
            case SeekOrder():
                raise AssertionError("the URL is known")
            case ReadOrder():
                seen = msgspec.structs.replace(seen, order=ca.order)
            case ReadAuthorizations(urls=urls):
                for url in urls:
                    seen = with_authorization(seen, ca.authorization(url))
            case Prove(proofs=proofs):
                for proof in proofs:
                    assert proof.authorization.status is AuthorizationStatus.PENDING
                    ca.told[int(proof.authorization.url.rpartition("/")[2])] = True
                told = {proof.challenge.url for proof in proofs}
                seen = msgspec.structs.replace(seen, told=seen.told | told)
            case AwaitAuthorization(url=url):
                ca.look_at_hosts()
                seen = with_authorization(seen, ca.authorization(url))
            case Finalize():
                assert ca.order.status is OrderStatus.READY
                ca.is_finalized = True
                seen = msgspec.structs.replace(seen, order=ca.order)
            case AwaitOrder():
                ca.is_issued = True
                seen = msgspec.structs.replace(seen, order=ca.order)
            case Download():
                return "issued", count
            case GiveUp(refusal=refusal):
                return str(refusal), count
    raise AssertionError("it does not end")


@given(
    hosts=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5),
    losses=st.lists(st.sampled_from([0, 0, 0, 1, 2]), max_size=60),
)
def test_any_order_ends_well_or_says_why(hosts: list[tuple[bool, bool]], losses: list[int]) -> None:
    """One order is placed; it is issued if all hosts prove valid, else each bad host is named.

    It is finalized only when it is ready, only what is pending is proven, and no loss of what
    was seen leads astray.
    """
    ca = ModelCa([good for good, _ in hosts], [known for _, known in hosts])
    left = iter(losses)
    said, _ = walk(ca, lambda: next(left, 0))
    bad = [number for number, (good, known) in enumerate(hosts) if not good and not known]
    assert ca.placed == 1
    if not bad:
        assert said == "issued"
    else:
        assert said != "issued"
        assert any(f"h{number}.example: not there" in said for number in bad)


@given(hosts=st.lists(st.booleans(), min_size=1, max_size=5))
def test_without_losses_no_step_is_taken_twice(hosts: list[bool]) -> None:
    """Place, read, prove, one look for each host, finalize, look, download: no more."""
    ca = ModelCa([True] * len(hosts), hosts)
    said, count = walk(ca, lambda: 0)
    assert said == "issued"
    assert count <= 6 + len(hosts)

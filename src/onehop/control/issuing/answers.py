"""The engine's Responder: all answers of the moment in one Secret that every host watches.

One Secret and not one for each answer: a host has one watch more, however many hosts are proven,
and what a hundred orders publish at the same moment is one write and one plan.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, assert_never

from onehop.acme.port import AlpnAnswer, HttpAnswer, ResponderAnswer
from onehop.base.errors import KubeConflict, TransientError
from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.compile.challenge import (
    AlpnChallenge,
    Challenge,
    HttpChallenge,
    decode_challenges,
    encode_challenges,
    entry_of,
)
from onehop.control.issuing.confirmation import Confirmation
from onehop.control.issuing.mark import annotations_of_ours, labels_of_ours, why_foreign
from onehop.control.issuing.secrets import SecretChange, SecretStore
from onehop.kube.lease import boot_time
from onehop.model.ident import ObjectRef

COMPONENT: Final = "acme-answers"
TYPE: Final = "onehop.dev/acme-answers"
LARGEST_BYTES: Final = 1_000_000
"""The API takes 1 MiB (https://kubernetes.io/docs/concepts/configuration/secret/, "restriction on
data size"): some 4000 answers by HTTP, or 700 by TLS."""
OLD_S: Final = 3600.0
_ATTEMPTS: Final = 5


class SharedAnswers:
    """Implements `acme.port.Responder`.

    An answer that an earlier leader left stays for an hour after we saw it first, by our own clock:
    its order may live on. It goes sooner when the Secret is full, and when we show a certificate
    for the same host ourselves: a client gets only one.

    Args:
        store: where Secrets are.
        secret: the one that all hosts watch.
        installation: as for `SecretVault`.
        confirmation: knows who answers what.
        clock: seconds, for the age of what others left.
    """

    def __init__(
        self,
        store: SecretStore,
        secret: ObjectRef,
        installation: str,
        confirmation: Confirmation,
        *,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._store = store
        self._secret = secret
        self._installation = installation
        self._confirmation = confirmation
        self._clock = clock
        self._live: dict[str, bytes] = {}
        self._shown: dict[str, str] = {}  # hosts of the live ones by TLS
        self._withdrawn: set[str] = set()
        self._left: dict[str, float] = {}
        self._kept: Secret | None = None
        self._writing = asyncio.Lock()
        self._asked = 0
        self._done = 0
        self._failed: tuple[int, TransientError] | None = None

    def take_over(self) -> None:
        """Begin as a new leader does: what was published until now was left by an earlier one."""
        for known in (self._live, self._shown, self._left, self._withdrawn):
            known.clear()
        self._kept = None

    async def publish(self, answer: ResponderAnswer) -> None:
        """Have every host give the answer from soon on.

        Raises:
            TransientError: not written, or the Secret is full: others must be done first.
        """
        ((entry, data),) = encode_challenges((_challenge(answer),)).items()
        if entry not in self._live and _size(self._live) + len(data) > LARGEST_BYTES:
            raise TransientError(
                f"{self._secret} is full: {len(self._live)} hosts are being proven just now; "
                f"{answer.host} waits until some of them are done"
            )
        self._live[entry] = data
        if isinstance(answer, AlpnAnswer):
            self._shown[entry] = answer.host
        self._withdrawn.discard(entry)
        await self._write()

    async def ready(self, answer: ResponderAnswer) -> None:
        """Return when every host gives the answer."""
        try:
            await self._confirmation.everywhere(entry_of(_challenge(answer)))
        except TransientError as err:
            self._kept = None  # somebody may have taken it out of the Secret: look again
            raise TransientError(f"the answer for {answer.host}: {err}") from err

    async def withdraw(self, answer: ResponderAnswer) -> None:
        """Stop giving the answer."""
        entry = entry_of(_challenge(answer))
        self._live.pop(entry, None)
        self._shown.pop(entry, None)
        self._withdrawn.add(entry)
        await self._write()

    async def sweep(self) -> None:
        """Take away what is too old; whatever is written takes it along as well."""
        self._kept = None
        await self._write()

    async def _write(self) -> None:
        """Return when what is asked now is written: one write for all that is asked together."""
        self._asked += 1
        mine = self._asked
        async with self._writing:
            if self._done >= mine:
                return
            if self._failed is not None and self._failed[0] >= mine:
                raise TransientError(str(self._failed[1])) from self._failed[1]
            await asyncio.sleep(0)  # whoever is about to ask goes along
            asked = self._asked
            try:
                await self._bring_all()
            except TransientError as err:
                self._failed = asked, err
                raise
            self._done, self._failed = asked, None

    async def _bring_all(self) -> None:
        """Bring the Secret to what is wanted by now; if somebody was faster, look again."""
        for _ in range(_ATTEMPTS):
            kept, self._kept = self._kept, None  # a write that fails may have arrived all the same
            try:
                self._kept = await self._bring(kept or await self._store.find(self._secret))
            except KubeConflict:
                continue
            return
        raise TransientError(f"{self._secret} is written by somebody all the time")

    async def _bring(self, kept: Secret | None) -> Secret | None:
        if kept is not None:
            return await self._change(kept)
        self._withdrawn.clear()
        if not self._live:
            return None
        new = Secret(metadata=self._meta(), type=TYPE, data=dict(self._live))
        return await self._store.create(new)

    async def _change(self, kept: Secret) -> Secret:
        why = why_foreign(kept.metadata, self._installation)
        if why:
            raise TransientError(f"{self._secret} is in our way: {why}; choose another name")
        have = kept.data or {}
        want = dict(self._live)
        coming = {entry: data for entry, data in want.items() if have.get(entry) != data}
        staying = self._staying({e: data for e, data in have.items() if e not in want})
        if _size(staying) + _size(want) > LARGEST_BYTES:
            staying = {}
        going = dict.fromkeys(have.keys() - want.keys() - staying.keys())
        written = kept
        if coming or going:
            change = SecretChange(data={**coming, **going})
            written = await self._store.change(kept.metadata, change)
        self._withdrawn &= (written.data or {}).keys()  # those that are gone need no more care
        return written

    def _staying(self, left: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return which of the answers that are not ours stay."""
        now = self._clock()
        self._left = {entry: self._left.get(entry, now) for entry in left}
        shown = frozenset(self._shown.values())
        return {
            entry: data
            for entry, data in left.items()
            if entry not in self._withdrawn
            and now < self._left[entry] + OLD_S
            and not any(
                isinstance(each, AlpnChallenge) and each.host in shown
                for each in decode_challenges({entry: data})
            )
        }

    def _meta(self) -> Meta:
        return Meta(
            name=self._secret.name,
            namespace=self._secret.namespace,
            labels=labels_of_ours(COMPONENT),
            annotations=annotations_of_ours(self._installation),
        )


def _challenge(answer: ResponderAnswer) -> Challenge:
    """Return an answer of the engine's as the hosts read it."""
    match answer:
        case HttpAnswer():
            return HttpChallenge(host=answer.host, token=answer.token, body=answer.body)
        case AlpnAnswer():
            return AlpnChallenge(
                host=answer.host, chain_pem=answer.chain_pem, key_pem=answer.key_pem.reveal
            )
        case _:
            assert_never(answer)


def _size(data: Mapping[str, bytes]) -> int:
    return sum(map(len, data.values()))

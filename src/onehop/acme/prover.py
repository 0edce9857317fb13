"""Answers in their places while a CA looks, and taken away afterwards."""

import asyncio
from typing import Final

import structlog

from onehop.acme.order import Proof
from onehop.acme.protocol.client import AcmeClient
from onehop.acme.protocol.wire import ChallengeStatus
from onehop.acme.refusal import Refusal
from onehop.acme.session import Session
from onehop.acme.together import together
from onehop.base.errors import OnehopError

_log = structlog.get_logger(__name__)

_CLEAN_S: Final = 10.0


class Prover:
    """What was put somewhere for one wish, over all attempts of this process.

    Answers stay while the order is alive, also when we stop: a CA that was told to look looks when
    it likes, and an order whose answer was taken away is lost.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._presented: dict[str, tuple[Proof, str]] = {}

    async def prove(
        self, client: AcmeClient, proofs: tuple[Proof, ...]
    ) -> list[tuple[Proof, Refusal]]:
        """Put all answers in their places, have the CA look, and return whom it refused to.

        Raises:
            TransientError: a place cannot be reached, or the CA cannot.
            SolverRefused: a place will not have our answer.
        """
        refusals = await together(self._prove_one(client, proof) for proof in proofs)
        pairs = zip(proofs, refusals, strict=True)
        return [(proof, refusal) for proof, refusal in pairs if refusal is not None]

    async def clean(self) -> None:
        """Take all answers away; what cannot be is named in the log, and harms nobody."""
        presented, self._presented = self._presented, {}
        if not presented:
            return
        try:
            async with asyncio.timeout(_CLEAN_S):
                await together(self._clean_one(*shown) for shown in presented.values())
        except (OnehopError, TimeoutError) as err:
            hosts = [proof.authorization.host for proof, _ in presented.values()]
            _log.warning("challenges_left", hosts=hosts, error=str(err))

    async def _prove_one(self, client: AcmeClient, proof: Proof) -> Refusal | None:
        """Put the answer in its place, and have the CA look, unless it does already."""
        challenge, host = proof.challenge, proof.authorization.identifier.value
        authorization = client.key.authorization(challenge.token)
        self._presented[challenge.url] = (proof, authorization)
        solver = self._session.solver(proof.solver)
        await solver.present(host, challenge.token, authorization)
        if challenge.status is not ChallengeStatus.PENDING:
            return None
        return await client.ready(proof.authorization.url, challenge)

    async def _clean_one(self, proof: Proof, authorization: str) -> None:
        token, host = proof.challenge.token, proof.authorization.identifier.value
        await self._session.solver(proof.solver).clean(host, token, authorization)

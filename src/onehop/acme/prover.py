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
    """What one attempt has put somewhere."""

    def __init__(self, session: Session, client: AcmeClient) -> None:
        self._session = session
        self._client = client
        self._presented: list[Proof] = []

    async def prove(self, proofs: tuple[Proof, ...]) -> list[tuple[Proof, Refusal]]:
        """Put all answers in their places, have the CA look, and return whom it refused to.

        Raises:
            TransientError: a place cannot be reached, or the CA cannot.
            SolverRefused: a place will not have our answer.
        """
        self._presented += proofs
        refusals = await together(self._prove_one(proof) for proof in proofs)
        pairs = zip(proofs, refusals, strict=True)
        return [(proof, refusal) for proof, refusal in pairs if refusal is not None]

    async def clean(self) -> None:
        """Take all answers away, whatever became of the order; leftovers harm nobody."""
        presented, self._presented = self._presented, []
        if not presented:
            return
        try:
            async with asyncio.timeout(_CLEAN_S):
                await together(self._clean_one(proof) for proof in presented)
        except (OnehopError, TimeoutError) as err:
            hosts = [proof.authorization.host for proof in presented]
            _log.warning("challenges_left", hosts=hosts, error=str(err))

    async def _prove_one(self, proof: Proof) -> Refusal | None:
        """Put the answer in its place, and have the CA look, unless it does already."""
        challenge, host = proof.challenge, proof.authorization.identifier.value
        solver = self._session.solver(proof.solver)
        await solver.present(host, challenge.token, self._client.key.authorization(challenge.token))
        if challenge.status is not ChallengeStatus.PENDING:
            return None
        return await self._client.ready(proof.authorization.url, challenge)

    async def _clean_one(self, proof: Proof) -> None:
        token, host = proof.challenge.token, proof.authorization.identifier.value
        authorization = self._client.key.authorization(token)
        await self._session.solver(proof.solver).clean(host, token, authorization)

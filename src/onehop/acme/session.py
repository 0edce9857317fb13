"""One CA: its directory, our account there, and the solvers that prove hosts to it.

All wishes of an issuer share a session. The first that needs it opens it, the others wait. When
the CA is down or refuses our account, that is found out once for all of them.
"""

import asyncio
from typing import Final

import msgspec

from onehop.acme.backoff import AFTER_OUTAGE, AFTER_REFUSAL
from onehop.acme.issuer import Issuer, SolverChoice
from onehop.acme.port import Vault
from onehop.acme.protocol.client import AcmeClient, read_directory
from onehop.acme.protocol.jws import new_account_key
from onehop.acme.protocol.transport import Transport
from onehop.acme.quota import DAY_S
from onehop.acme.refusal import Refusal
from onehop.acme.saved import Account
from onehop.acme.setting import Setting
from onehop.acme.solver import Solver, make_solver
from onehop.base.errors import AcmeUnavailable
from onehop.base.trust import trusting

_FRESH_S: Final = DAY_S
"""The directory is read again after so long: CAs move things, and publish new ones."""


class Session:
    """A CA, for as long as the engine runs."""

    def __init__(self, issuer: Issuer, vault: Vault, setting: Setting) -> None:
        self.issuer = issuer
        self._vault = vault
        self._setting = setting
        self._lock = asyncio.Lock()
        self._transport: Transport | None = None
        self._client: AcmeClient | None = None
        self._opened_at = 0.0
        self._failures = 0
        self._closed_until = 0.0
        self._closed_by: Refusal | str = ""
        self._solvers: dict[SolverChoice, Solver] = {}

    def solver(self, choice: SolverChoice) -> Solver:
        """Return what proves hosts in this way."""
        if choice not in self._solvers:
            self._solvers[choice] = make_solver(
                choice, self._setting.responder, self._setting.clock
            )
        return self._solvers[choice]

    async def client(self) -> AcmeClient | Refusal:
        """Return our account at the CA, or why it gives us none, with when to ask again.

        Raises:
            AcmeUnavailable: the CA does not answer, or did not a moment ago.
        """
        async with self._lock:
            now = self._setting.clock.now()
            if self._client is not None and now - self._opened_at < _FRESH_S:
                return self._client
            if now < self._closed_until:
                return self._still_closed(self._closed_until - now)
            try:
                opened = await self._open()
            except AcmeUnavailable as err:
                wait_s = AFTER_OUTAGE.wait_s(self._failures + 1, self._setting.dice())
                self._close_for(max(wait_s, err.retry_after_s or 0.0), str(err))
                raise
            if isinstance(opened, Refusal):
                self._close_for(self._wait_s(opened), opened)
                return self._still_closed(self._closed_until - now)
            self._client, self._opened_at, self._failures = opened, now, 0
            return opened

    async def lose_account(self) -> None:
        """Make a new account next time: the CA does not know the one we have."""
        async with self._lock:
            account = await self._vault.load_account(self.issuer.name)
            if account is not None and self._client is not None:
                await self._vault.save_account(
                    self.issuer.name, msgspec.structs.replace(account, url=None)
                )
            self._client = None

    async def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.close()

    def _wait_s(self, refusal: Refusal) -> float:
        if refusal.is_passing and refusal.retry_after_s is not None:
            return refusal.retry_after_s
        wait_s = AFTER_REFUSAL.wait_s(self._failures + 1, self._setting.dice())
        return max(wait_s, refusal.retry_after_s or 0.0)

    def _close_for(self, seconds: float, by: Refusal | str) -> None:
        self._failures += 1
        self._closed_until = self._setting.clock.now() + seconds
        self._closed_by = by

    def _still_closed(self, left_s: float) -> Refusal:
        if isinstance(self._closed_by, Refusal):
            return msgspec.structs.replace(self._closed_by, retry_after_s=left_s)
        raise AcmeUnavailable(self._closed_by, retry_after_s=left_s)

    async def _open(self) -> AcmeClient | Refusal:
        """Read the directory, and make or find the account; its key is saved before it is used."""
        issuer = self.issuer
        if self._transport is None:
            trust = await asyncio.to_thread(trusting, ca_pem=issuer.ca_pem)
            self._transport = Transport(
                self._setting.clock, trust, patience_s=self._setting.patience_s
            )
        directory = await read_directory(self._transport, issuer.directory)
        account = await self._vault.load_account(issuer.name)
        if account is None or account.directory != issuer.directory:
            account = Account(directory=issuer.directory, key_pem=new_account_key())
            await self._vault.save_account(issuer.name, account)
        client = AcmeClient(self._transport, directory, account.key_pem)
        opened = await client.open_account(issuer, account)
        if isinstance(opened, Refusal):
            if opened.kind == "accountDoesNotExist":
                lost = msgspec.structs.replace(account, url=None)
                await self._vault.save_account(issuer.name, lost)
            return opened
        if opened != account:
            await self._vault.save_account(issuer.name, opened)
        return client

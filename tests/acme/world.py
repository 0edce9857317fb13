"""An engine between a real CA and a load balancer, and how to wait for what it does."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from cryptography import x509

from onehop.acme.engine import Engine
from onehop.acme.issuer import CertificateWish, Issuer
from onehop.acme.port import Held
from onehop.acme.state import State
from onehop.model.ident import ObjectRef
from tests.acme.pebble import Pebble
from tests.acme.responder import LiveResponder
from tests.acme.vault import MemoryVault

DEADLINE_S = 90.0


def secret(name: str) -> ObjectRef:
    return ObjectRef("Secret", "shop", name)


def wish(*hosts: str, name: str | None = None, **more: Any) -> CertificateWish:
    ref = secret(name or hosts[0].replace("*", "any"))
    return CertificateWish(secret=ref, hosts=tuple(sorted(hosts)), issuer="ca", **more)


def issuer_of(pebble: Pebble, directory: str | None = None, **more: Any) -> Issuer:
    return Issuer(
        name="ca", directory=directory or pebble.directory, ca_pem=pebble.ca.ca_pem, **more
    )


class World:
    """One engine and what it works on; the Vault may outlive it."""

    def __init__(self, engine: Engine, vault: MemoryVault, responder: LiveResponder) -> None:
        self.engine = engine
        self.vault = vault
        self.responder = responder
        self.changed = asyncio.Event()

    def state(self, wished: CertificateWish) -> State | None:
        return self.engine.states().get(wished.secret)

    async def until(self, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Return when the condition holds; looks whenever a state has changed."""
        try:
            async with asyncio.timeout(deadline_s):
                while not condition():
                    self.changed.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.changed.wait(), 0.02)
        except TimeoutError:
            raise AssertionError(f"it never came: {dict(self.engine.states())}") from None

    async def issued(self, *wished: CertificateWish, deadline_s: float = DEADLINE_S) -> None:
        """Return when all are stored and known to be valid."""

        def is_valid(one: CertificateWish) -> bool:
            state = self.state(one)
            return (
                state is not None
                and state.phase == "valid"
                and state.order_url is None
                and one.secret in self.vault.secrets
            )

        await self.until(lambda: all(map(is_valid, wished)), deadline_s)

    def leaf(self, wished: CertificateWish) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.held(wished).chain_pem.encode())

    def held(self, wished: CertificateWish) -> Held:
        return self.vault.secrets[wished.secret]


@contextlib.asynccontextmanager
async def tended(
    issuers: Iterable[Issuer],
    wishes: Iterable[CertificateWish],
    *,
    vault: MemoryVault | None = None,
    responder: LiveResponder | None = None,
    **more: Any,
) -> AsyncGenerator[World]:
    """Run an engine for some wishes."""
    vault, responder = vault or MemoryVault(), responder or LiveResponder()

    def report(_: State) -> None:
        world.changed.set()

    engine = Engine(issuers, vault=vault, responder=responder, report=report, **more)
    world = World(engine, vault, responder)
    engine.wish(wishes)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(engine.run())
        try:
            yield world
        finally:
            running.cancel()

"""A real engine and a real CA over Secrets: a power cut at each write, and the next process."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest

from onehop.acme.engine import Engine
from onehop.acme.issuer import CertificateWish, Issuer
from onehop.acme.port import Held, HttpAnswer
from onehop.acme.state import Phase, State
from onehop.base.latest import Latest
from onehop.cluster.meta import Meta
from onehop.cluster.secret import Secret
from onehop.compile.challenge import HttpChallenge, decode_challenges, entry_of
from onehop.control.issuing.answers import SharedAnswers
from onehop.control.issuing.confirmation import Alone
from onehop.control.issuing.secrets import SecretChange, SecretStore, secret_ref
from onehop.control.issuing.vault import SecretVault
from onehop.model.ident import ObjectRef
from tests.acme.pebble import Pebble, running_pebble
from tests.acme.proxy import Proxy, proxied
from tests.acme.responder import LiveResponder, serving
from tests.issuing.stage import NAMESPACE, WEB_TLS, Place, running

ANSWERS = secret_ref(NAMESPACE, "onehop-acme-answers")
WISH = CertificateWish(secret=WEB_TLS, hosts=("shop.example.com", "www.example.com"), issuer="ca")
DEADLINE_S = 60.0
WRITES = 7
"""The account, its URL, the order, the answers, the certificate, its record, answers withdrawn."""
LOST = (2, "before")
"""The CA has taken an order, and its URL was written nowhere."""


class PowerCut(Exception):  # noqa: N818  named like what it is
    """Ends the process here: nobody handles it."""


class FailingStore:
    """Secrets of a process that is cut down just before, or just after, one of its writes."""

    def __init__(self, store: SecretStore, number: int, *, is_done: bool) -> None:
        self._store = store
        self._left = number
        self._is_done = is_done

    async def find(self, secret: ObjectRef) -> Secret | None:
        return await self._store.find(secret)

    async def create(self, secret: Secret) -> Secret:
        self._cut(is_done=False)
        created = await self._store.create(secret)
        self._cut(is_done=True)
        return created

    async def change(self, seen: Meta, change: SecretChange) -> Secret:
        self._cut(is_done=False)
        changed = await self._store.change(seen, change)
        self._cut(is_done=True)
        return changed

    async def delete(self, seen: Meta) -> None:
        await self._store.delete(seen)

    async def marked(self, namespace: str, component: str) -> tuple[Meta, ...]:
        return await self._store.marked(namespace, component)

    def _cut(self, *, is_done: bool) -> None:
        self._left -= is_done is self._is_done
        if self._left < 0 and is_done is self._is_done:
            raise PowerCut


class DataPlane:
    """Answers what the Secret says, and acknowledges it."""

    def __init__(self, place: Place, responder: LiveResponder) -> None:
        self.acknowledged = Latest[frozenset[str]]()
        self._place = place
        self._responder = responder
        self._given: dict[str, HttpAnswer] = {}

    async def run(self) -> None:
        """Follow the Secret, as a watch would."""
        while True:
            found = await self._place.process().find(ANSWERS)
            challenges = decode_challenges((found.data if found else None) or {})
            wanted = {
                entry_of(each): HttpAnswer(host=each.host, token=each.token, body=each.body)
                for each in challenges
                if isinstance(each, HttpChallenge)
            }
            for entry in self._given.keys() - wanted.keys():
                await self._responder.withdraw(self._given[entry])
            for entry in wanted.keys() - self._given.keys():
                await self._responder.publish(wanted[entry])
            if wanted != self._given:
                self._given = wanted
                self.acknowledged.put(frozenset(wanted))
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Generator[Pebble]:
    """A CA that works at full speed."""
    with running_pebble(tmp_path_factory.mktemp("pebble")) as running:
        yield running


@pytest.fixture
def responder() -> LiveResponder:
    return LiveResponder()


@pytest.fixture
async def proxy(pebble: Pebble, responder: LiveResponder) -> AsyncGenerator[Proxy]:
    """The CA, with a proxy before it, and the load balancer where it looks."""
    ports = {"http_port": pebble.http_port, "tls_port": pebble.tls_port}
    async with serving(responder, **ports), proxied(pebble) as running:
        yield running


class World:
    """What outlives a process."""

    def __init__(self, place: Place, proxy: Proxy, responder: LiveResponder) -> None:
        self.place = place
        self.proxy = proxy
        self.responder = responder

    async def process(self, store: SecretStore) -> None:
        """Run a process until the certificate is valid, or until the power cut."""
        plane = DataPlane(self.place, self.responder)
        answers = SharedAnswers(store, ANSWERS, NAMESPACE, Alone(plane.acknowledged))
        vault = SecretVault(store, NAMESPACE, NAMESPACE)
        states = Latest[State]()
        ca = self.proxy.pebble.ca.ca_pem
        issuer = Issuer(name="ca", directory=self.proxy.directory, ca_pem=ca)
        engine = Engine([issuer], vault=vault, responder=answers, report=states.put)
        engine.wish([WISH])
        async with asyncio.timeout(DEADLINE_S), running(plane.run()), running(engine.run()):
            revision, state = 0, None
            while state is None or state.phase is not Phase.VALID:
                revision, state = await states.newer(revision)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(WRITES))
async def test_the_next_process_finishes_what_a_power_cut_ended(
    number: int, when: str, place: Place, proxy: Proxy, responder: LiveResponder
) -> None:
    """Whichever write it hits; no order is placed twice, but for one that nobody could note."""
    world = World(place, proxy, responder)
    store = FailingStore(place.process(), number, is_done=when == "after")
    try:
        await world.process(store)
    except* PowerCut:
        pass

    await world.process(place.process())

    held = await SecretVault(place.process(), NAMESPACE, NAMESPACE).look(WEB_TLS)
    assert isinstance(held, Held)
    assert len(proxy.orders) == (2 if (number, when) == LOST else 1)

"""What a test of a capability is given: a data plane, endpoints, clients, and who checks claims."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import msgspec

from onehop.control.abilities import DATA_PLANES
from onehop.control.config import Config, DataPlaneConfig
from onehop.control.foresight import foreseen
from onehop.control.refusals import Refusals
from onehop.driver import Capability, Receipt
from onehop.driver.asks import asks_of
from onehop.driver.capability import Extent
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import ObjectRef
from onehop.model.listener import ForwardHttp, ForwardTcp, Listener
from onehop.model.model import Change, Row, key_of, model_of
from onehop.model.pool import BackendProtocol
from onehop.model.route import VirtualHost
from tests.contract.paper import Question
from tests.contract.planes import Plane
from tests.driver_envoy.world import (
    SERVICE,
    Backend,
    bring_to,
    connected,
    free_port,
    headers_of,
    listener,
    members,
    pool,
    tcp_server,
)

INGRESS = ObjectRef("Ingress", "shop", "web")


class Told(Exception):  # noqa: N818  an outcome, not a fault
    """The data plane has said what there is to be known of it here."""


class Got(msgspec.Struct, frozen=True):
    """What came of a request.

    Attributes:
        by: the name of the endpoint that answered.
        path, seen: what it saw.
        headers: of the answer.
    """

    status: int
    by: str = ""
    path: str = ""
    seen: dict[str, str] = {}
    headers: dict[str, str] = {}


class Scene:
    """One data plane and one capability.

    Args:
        plane: that runs and serves nothing.
        capability: that is looked at.
        endpoints: two for HTTP, `one` and `two`.
    """

    def __init__(self, plane: Plane, capability: Capability, *endpoints: Backend) -> None:
        self.plane = plane
        self.capability = capability
        self.one, self.two = endpoints
        self.port = free_port()
        self.is_checked = False
        self._rows: tuple[Row, ...] = ()

    async def serve(self, *rows: Row) -> None:
        """Make the rows all that is served, and hold the answer against the declaration.

        Raises:
            Told: it is not served, and that is in order.
        """
        self._rows = tuple(_owned(row) for row in rows)
        receipt = await bring_to(self.plane.driver, model_of(self._rows))
        support = self.plane.shortcomings.get(self.capability)
        asking = {key_of(row) for row in self._rows if self._asks(row)}
        assert asking or self.capability in ALWAYS
        self.is_checked = True
        if support is None or support.extent is Extent.PARTLY:
            whole = {each.key for each in receipt.refused if not each.is_partial}
            assert not whole, receipt.refused
            assert support is not None or not receipt.refused
            return
        assert receipt.refused
        if self.plane.driver.name != "nftables":  # which refuses what is before the asking row
            assert asking & {each.key for each in receipt.refused}
            self._check_problem(receipt)
        raise Told

    def traffic(self) -> int:
        """Return the port where requests can be sent.

        Raises:
            Told: they cannot.
        """
        if not self.plane.carries:
            raise Told
        return self.port

    async def ask(self, host: str = "a.example", path: str = "/", **fields: Any) -> Got:
        """Send a request, or have it thought through where none can be sent."""
        asked = Question(host=host, path=path, **fields)
        if self.plane.carries:
            return await self._send(asked)
        if self.plane.oracle is None:
            raise Told
        verdict = self.plane.oracle(self._rows, asked)
        by = self._first_member(verdict.pool) if verdict.pool is not None else ""
        return Got(verdict.status, by, verdict.path, dict(verdict.seen), dict(verdict.headers))

    async def _send(self, asked: Question) -> Got:
        async with connected(self.port, source=asked.source) as client:
            reply = await client.ask(
                asked.host,
                asked.path,
                method=asked.method,
                headers=dict(asked.headers),
                body=asked.body,
            )
        for each in (self.one, self.two):
            if reply.body == each.name and each.requests:
                head = each.requests[-1]
                path = head.split(" ")[1]
                return Got(reply.status, each.name, path, headers_of(head), reply.headers)
        return Got(reply.status, headers=reply.headers)

    def _first_member(self, of: str) -> str:
        (row,) = (r for r in self._rows if isinstance(r, PoolEndpoints) and r.pool == of)
        port = row.endpoints[0].port
        return next(each.name for each in (self.one, self.two) if each.port == port)

    def _asks(self, row: Row) -> bool:
        return any(ask.capability is self.capability for ask in asks_of(row))

    def _check_problem(self, receipt: Receipt) -> None:
        """Look whether the object that asked is told, and what it can do."""
        refusals = Refusals(lambda: self.plane.driver.name)
        refusals.note(Change(self._rows), receipt)
        driver = self.plane.driver.name
        if driver in DATA_PLANES:
            config = Config(data_plane=DataPlaneConfig(driver=driver))
            before = foreseen(model_of(self._rows), config)
            assert before
            assert {*before} <= {*refusals.problems()}  # a unit may find out more
        words = self.plane.shortcomings[self.capability].words
        told = [each for each in refusals.problems() if words in each.message]
        assert told, refusals.problems()
        assert {each.subject.kind for each in told} <= {"Ingress", "Service", "Secret", "DataPlane"}


Case: TypeAlias = Callable[[Scene], Coroutine[Any, Any, None]]

CASES: dict[Capability, Case] = {}
"""What each capability means, by example."""

ALWAYS = frozenset((Capability.WEBSOCKET,))
"""What no row asks for: it is there or not."""

T = TypeVar("T", bound=Case)


def proves(capability: Capability) -> Callable[[T], T]:
    """Note that a case shows what a capability means."""

    def note(case: T) -> T:
        assert capability not in CASES
        CASES[capability] = case
        return case

    return note


# Rows


def entrance(scene: Scene, **fields: Any) -> Listener:
    """Return a listener for HTTP."""
    handler = fields.pop("handler", None)
    return listener(scene.port, handler, **fields)


def stream(scene: Scene, *endpoints: Endpoint, **fields: Any) -> tuple[Row, ...]:
    """Return a listener for TCP with its pool; `on_listener` has the listener's fields."""
    of_listener = fields.pop("on_listener", {})
    idle = {"idle_timeout_s": of_listener.pop("idle_s")} if "idle_s" in of_listener else {}
    behind = pool("stream", protocol=BackendProtocol.TCP, **fields)
    handler = ForwardTcp(pool=behind.id, **idle)
    entered = listener(scene.port, handler, **of_listener)
    return behind, members(behind, *endpoints), entered


def _owned(row: Row) -> Row:
    """Return the row as somebody's: rows of the suites are nobody's."""
    if isinstance(row, VirtualHost):
        routes = tuple(msgspec.structs.replace(route, owner=INGRESS) for route in row.routes)
        return msgspec.structs.replace(row, routes=routes)
    if isinstance(row, Listener) and not isinstance(row.handler, ForwardHttp):
        return msgspec.structs.replace(row, owner=SERVICE)
    return row


# Endpoints


@asynccontextmanager
async def named(name: str) -> AsyncGenerator[int]:
    """Serve TCP that says its name, then sends back what comes; yield the port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode())
        await give_back(reader, writer)

    async with tcp_server(greet) as port:
        yield port


async def give_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the other side is done, or gone."""
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def dial(port: int, source: str = "127.0.0.5") -> str:
    """Return who answers a connection; nobody, if it is closed."""
    try:
        async with connected(port, source=source) as client, asyncio.timeout(30):
            return (await client.reader.read(100)).decode()
    except ConnectionError:
        return ""


def sources(count: int) -> Iterator[str]:
    """Yield addresses of clients."""
    return (f"127.0.{n}.{n}" for n in range(1, count + 1))

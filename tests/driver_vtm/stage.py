"""An imitated unit with a driver before it, and rows to give to the driver."""

import asyncio
import hashlib
import ipaddress
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from onehop.driver import Driver, Receipt
from onehop.driver.vtm import VtmDriver, VtmOptions
from onehop.driver.vtm.name import Names
from onehop.lab.vtm import Behaviour, VtmCluster, serve_vtm
from onehop.lab.vtm.cluster import Member
from onehop.lab.vtm.store import Stored
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, ServerName
from onehop.model.endpoint import Endpoint, PoolEndpoints, Readiness
from onehop.model.endpoint import Path as Way
from onehop.model.ident import CertificateId, HostId, ListenerId, ObjectRef, PoolId, RouterId
from onehop.model.listener import ForwardHttp, Handler, Listener
from onehop.model.model import Model, Row, change_between, model_of
from onehop.model.pool import Pool
from onehop.model.route import (
    Action,
    Forward,
    PathKind,
    PathMatch,
    PoolShare,
    Route,
    VirtualHost,
)
from onehop.plan import make_plan

OWNER = "test"
NAMES = Names(OWNER)
HTTP = RouterId("shared-http")
HTTPS = RouterId("shared-https")
VIP = IpAddr("203.0.113.10")
PATIENCE_S = 25.0
HASTY_S = 1.0
"""For a call that will not be answered; on a busy machine, one that would be may be late, too."""


class Stage(msgspec.Struct):
    """A unit's members, and how drivers are made that speak to them."""

    cluster: VtmCluster
    urls: tuple[str, ...]
    options: VtmOptions

    @property
    def first(self) -> Member:
        return self.cluster.members[0]

    @asynccontextmanager
    async def driver(self, **changed: object) -> AsyncGenerator[VtmDriver]:
        """Return a running driver; several may run one after another, as after a restart."""
        driver = VtmDriver(msgspec.structs.replace(self.options, **changed))
        async with driver.running():
            yield driver

    def object(self, collection: str, id_: str) -> Stored:
        return self.first.objects[collection, NAMES.name(id_)]

    def has(self, collection: str, id_: str) -> bool:
        return (collection, NAMES.name(id_)) in self.first.objects

    def nodes(self, pool: Pool) -> list[str]:
        content = self.object("pools", pool.id)
        assert not isinstance(content, str)
        return [row["node"] for row in content["basic"]["nodes_table"]]


@asynccontextmanager
async def stage(behaviour: Behaviour | None = None) -> AsyncGenerator[Stage]:
    """Serve a unit on loopback."""
    cluster = VtmCluster(behaviour)
    with tempfile.TemporaryDirectory(prefix="onehop-") as folder:
        password = Path(folder) / "password"
        password.write_text(f"{cluster.password}\n")
        async with serve_vtm(cluster) as urls:
            options = VtmOptions(
                urls=urls,
                owner=OWNER,
                password_file=password,
                timeout_s=10.0,
                again_s=0.1,
                grace_s=0.1,
            )
            yield Stage(cluster, urls, options)


async def bring_to(driver: Driver, *rows: Row) -> Receipt:
    """Apply the way from what the driver serves to these rows."""
    return await driver.apply(make_plan(change_between(await driver.read_back(), model_of(rows))))


async def start(driver: Driver, *rows: Row) -> Receipt:
    """Apply these rows as a program does that has just begun."""
    return await driver.apply(make_plan(change_between(Model(), model_of(rows))))


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  a unit tells nobody
            await asyncio.sleep(0.01)
    assert holds(), what


def pool(name: str, **fields: object) -> Pool:
    plain = Pool(id=PoolId(f"shop/{name}:80"), service=ObjectRef("Service", "shop", name), port=80)
    return msgspec.structs.replace(plain, **fields)


def endpoint(last: int, *, weight: int = 1, drains: bool = False, way: Way = Way.POD) -> Endpoint:
    readiness = Readiness.DRAINING if drains else Readiness.SERVING
    address = IpAddr(f"10.244.0.{last}")
    return Endpoint(address=address, port=8080, weight=weight, readiness=readiness, path=way)


def members(of: Pool, *endpoints: Endpoint | int) -> PoolEndpoints:
    made = (endpoint(each) if isinstance(each, int) else each for each in endpoints)
    return PoolEndpoints(of.id, tuple(made))


def forward(*pools: Pool, **fields: object) -> Forward:
    plain = Forward(pools=tuple(PoolShare(each.id) for each in pools))
    return msgspec.structs.replace(plain, **fields)


def route(
    action: Action, path: str = "/", kind: PathKind = PathKind.PREFIX, **more: object
) -> Route:
    match = PathMatch(kind, path)
    plain = Route(id=f"{kind} {path}", owner=None, match=match, action=action)
    return msgspec.structs.replace(plain, **more)


def host(name: str, *routes: Route, router: RouterId = HTTP) -> VirtualHost:
    return VirtualHost(id=HostId(f"{router}/{name}"), router=router, hostname=name, routes=routes)


def listener(port: int = 80, handler: Handler | None = None, **fields: object) -> Listener:
    plain = Listener(
        id=ListenerId(f"listener-{port}"),
        owner=None,
        address=VIP,
        port=port,
        handler=handler or ForwardHttp(router=HTTP),
    )
    return msgspec.structs.replace(plain, **fields)


def certificate(name: str, text: str = "one") -> Certificate:
    """Return one whose texts are none: the imitated unit does not look into them."""
    return Certificate(
        id=CertificateId(f"shop/{name}"),
        chain_pem=f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n",
        key_pem=SecretText(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"),
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
        not_after=0,
    )


def server_name(hostname: str, of: Certificate, router: RouterId = HTTPS) -> ServerName:
    return ServerName(router=router, hostname=hostname, certificate=of.id)


def shop() -> Iterator[Row]:
    """Yield a small shop: a host, its pool, a listener."""
    web = pool("web")
    yield from (web, members(web, 1, 2), listener(), host("a.example", route(forward(web))))


def self_signed(address: str) -> tuple[bytes, bytes]:
    """Return key and certificate of a server at an address, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an imitated unit")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, plain), made.public_bytes(encoding)

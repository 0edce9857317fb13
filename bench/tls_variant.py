"""Three ways for one listener to show thousands of certificates, each with an Envoy of its own.

All have the product's HTTP filters and TLS policy, one worker, and one host that answers by itself.
On demand is the product's driver. The other two take their listener from a file that is replaced
(LDS by path): the floor of what a driver could do with them.
"""

import datetime as dt
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from bench.child import ChildFailed, descendant, running
from onehop.driver.envoy import EnvoyDriver, EnvoyOptions
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.envoy.http import render_http
from onehop.driver.envoy.listener import Chain, render_listener
from onehop.driver.envoy.proto import DownstreamTlsContext, any_of, as_dict
from onehop.driver.envoy.route import Pools, render_host
from onehop.driver.envoy.router import render_static_router
from onehop.driver.envoy.tls import certificate_pair, inline_socket
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, ServerName
from onehop.model.ident import CertificateId, HostId, ListenerId, RouterId
from onehop.model.listener import ForwardHttp, Listener, TlsPolicy
from onehop.model.model import Change, Row
from onehop.model.route import PathKind, PathMatch, Respond, Route, VirtualHost
from onehop.plan import make_plan

ADDRESS: Final = IpAddr("127.0.0.1")
DRAIN_S: Final = 2
_ROUTER: Final = RouterId("bench")
_HANDLER: Final = ForwardHttp(router=_ROUTER, tls=True)
_HOST: Final = VirtualHost(
    id=HostId("bench/*"),
    router=_ROUTER,
    hostname="*",
    routes=(
        Route(
            id="all",
            owner=None,
            match=PathMatch(PathKind.PREFIX, "/"),
            action=Respond(status=200, body="ok"),
        ),
    ),
)


class Site(NamedTuple):
    """A name and its certificate."""

    name: str
    certificate: Certificate


class Served(NamedTuple):
    """A listener that runs.

    Attributes:
        show: makes these all the certificates that are shown; they only ever become more.
    """

    pid: int
    show: Callable[[Sequence[Site]], Awaitable[None]]


Variant = Callable[[Path, int], AbstractAsyncContextManager[Served]]


def site(number: int, *, is_rsa: bool = False) -> Site:
    """Make a self-signed certificate with a key of P-256, or of RSA with 2,048 bits."""
    name = f"site-{number}.bench.example"
    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if is_rsa
        else ec.generate_private_key(ec.SECP256R1())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(number + 1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    certificate = Certificate(
        id=CertificateId(f"bench/site-{number}"),
        chain_pem=built.public_bytes(pem).decode(),
        key_pem=SecretText(private.decode()),
        fingerprint=built.fingerprint(hashes.SHA256()).hex(),
        not_after=int(built.not_valid_after_utc.timestamp()),
    )
    return Site(name, certificate)


@asynccontextmanager
async def on_demand(folder: Path, port: int) -> AsyncGenerator[Served]:
    """Run the product's driver."""
    options = EnvoyOptions(
        state_dir=folder / "state", concurrency=1, drain_grace_s=DRAIN_S, stop_grace_s=0.0
    )
    driver = EnvoyDriver(options)
    async with driver.running():
        shown = 0

        async def show(sites: Sequence[Site]) -> None:
            nonlocal shown
            rows: list[Row] = [] if shown else [_listener(port), _HOST]
            for each in sites[shown:]:
                rows += _rows(each)
            await driver.apply(make_plan(Change(upserts=tuple(rows))))
            shown = len(sites)

        pid = descendant(os.getpid(), "envoy")
        if pid is None:
            raise ChildFailed("the driver has no Envoy")
        yield Served(pid, show)


@asynccontextmanager
async def chain_per_name(folder: Path, port: int) -> AsyncGenerator[Served]:
    """Run an Envoy with a filter chain for each certificate."""

    def chains(sites: Sequence[Site]) -> list[Chain]:
        http = _http()
        return [
            Chain(
                (s.name,),
                inline_socket(s.certificate, TlsPolicy.INTERMEDIATE, redact=False),
                (http,),
            )
            for s in sites
        ]

    async with _by_file(folder, port, chains) as served:
        yield served


@asynccontextmanager
async def one_chain(folder: Path, port: int) -> AsyncGenerator[Served]:
    """Run an Envoy with all certificates in one TLS context."""

    def chains(sites: Sequence[Site]) -> list[Chain]:
        socket = inline_socket(sites[0].certificate, TlsPolicy.INTERMEDIATE, redact=False)
        context = DownstreamTlsContext()
        socket["typed_config"].Unpack(context)
        pairs = [certificate_pair(s.certificate, redact=False) for s in sites[1:]]
        more = DownstreamTlsContext(common_tls_context={"tls_certificates": pairs})
        context.MergeFrom(more)
        return [Chain((), {**socket, "typed_config": any_of(context)}, (_http(),))]

    async with _by_file(folder, port, chains) as served:
        yield served


VARIANTS: Final[dict[str, Variant]] = {
    "on_demand": on_demand,
    "chains": chain_per_name,
    "one_chain": one_chain,
}


@asynccontextmanager
async def _by_file(
    folder: Path, port: int, chains: Callable[[Sequence[Site]], list[Chain]]
) -> AsyncGenerator[Served]:
    bootstrap, listeners = folder / "bootstrap.json", folder / "listeners.json"
    bootstrap.write_text(json.dumps(_bootstrap(listeners)))
    listeners.write_text(json.dumps({"resources": []}))

    async def show(sites: Sequence[Site]) -> None:
        listener = as_dict(render_listener(_listener(port), chains(sites)))
        kind = {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener"}
        new = folder / "new.json"
        new.write_text(json.dumps({"resources": [kind | listener]}))
        new.rename(listeners)

    options = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
    drain = ("--drain-time-s", str(DRAIN_S), "--drain-strategy", "immediate")
    command = (str(find_envoy()), "-c", str(bootstrap), *options, *drain)
    with running(command, folder / "log") as process:
        yield Served(process.pid, show)


def _bootstrap(listeners: Path) -> dict[str, Any]:
    return {
        "node": {"id": "bench", "cluster": "bench"},
        "dynamic_resources": {
            "lds_config": {
                "path_config_source": {"path": str(listeners)},
                "resource_api_version": "V3",
            }
        },
    }


def _rows(of: Site) -> tuple[Row, Row]:
    name = ServerName(router=_ROUTER, hostname=of.name, certificate=of.certificate.id)
    return of.certificate, name


def _listener(port: int) -> Listener:
    return Listener(
        id=ListenerId("bench"), owner=None, address=ADDRESS, port=port, handler=_HANDLER
    )


def _http() -> dict[str, Any]:
    routes = render_static_router(
        _ROUTER, [render_host(_HOST, Pools(lambda _: None, lambda _: False))]
    )
    return render_http(_HANDLER, None, routes=routes)

"""What was served is on disk, whole, and for its owner only."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from onehop.compile.inputs import Held
from onehop.control.memory import Memory, Remembered
from onehop.model.address import IpAddr
from onehop.model.certificate import Certificate, SecretText, ServerName
from onehop.model.endpoint import Endpoint, PoolEndpoints
from onehop.model.ident import CertificateId, HostId, ListenerId, ObjectRef, PoolId, RouterId
from onehop.model.listener import ForwardTcp, Listener, Vip
from onehop.model.pool import CookiePersistence, Pool
from onehop.model.route import (
    Action,
    Forward,
    PathKind,
    PathMatch,
    PoolShare,
    Redirect,
    Respond,
    Route,
    VirtualHost,
)

SERVICE = ObjectRef("Service", "shop", "web")
POOL = PoolId("shop/web:80")
ACTIONS: tuple[Action, ...] = (
    Forward(pools=(PoolShare(POOL),)),
    Redirect(),
    Respond(status=404),
)
ROUTES = tuple(
    Route(id=str(n), owner=SERVICE, match=PathMatch(PathKind.PREFIX, "/"), action=action)
    for n, action in enumerate(ACTIONS)
)
REMEMBERED = Remembered(
    rows=(
        Vip(address=IpAddr("192.0.2.1"), owners=(SERVICE,)),
        Certificate(
            id=CertificateId("shop/tls"),
            chain_pem="chain",
            key_pem=SecretText("key"),
            fingerprint="00",
            not_after=1,
            ocsp=b"what the CA says",
        ),
        ServerName(router=RouterId("r"), hostname="h", certificate=CertificateId("shop/tls")),
        Pool(id=POOL, service=SERVICE, port=80, persistence=CookiePersistence(name="c")),
        PoolEndpoints(POOL, (Endpoint(address=IpAddr("10.0.0.1"), port=80),)),
        Listener(
            id=ListenerId("l"),
            owner=SERVICE,
            address=IpAddr("192.0.2.1"),
            port=80,
            handler=ForwardTcp(pool=POOL),
        ),
        VirtualHost(id=HostId("r/h"), router=RouterId("r"), hostname="h", routes=ROUTES),
    ),
    held=(Held(SERVICE, (IpAddr("192.0.2.1"),)),),
    known=(SERVICE, ObjectRef("Node", "", "worker-1")),
)


async def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    """Rows of every table survive, private keys included."""
    memory = Memory(tmp_path, "here")

    await memory.save(REMEMBERED)

    assert memory.load() == REMEMBERED


def test_a_certificate_of_an_earlier_version_has_no_staple() -> None:
    """A row that was written before there were any is read all the same."""
    row = {"type": "certificate", "id": "shop/tls", "chain_pem": "chain", "not_after": 1}
    row |= {"key_pem": {"reveal": "key"}, "fingerprint": "00"}

    read = msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=Certificate)

    assert read.ocsp is None


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """The file holds private keys."""
    await Memory(tmp_path, "here").save(REMEMBERED)

    assert stat.S_IMODE(os.stat(tmp_path / "last-known-good").st_mode) == 0o600  # noqa: PTH116
    assert os.listdir(tmp_path) == ["last-known-good"]  # noqa: PTH208


async def test_nothing_is_remembered_before_the_first_save(tmp_path: Path) -> None:
    """A first start is no fault."""
    assert Memory(tmp_path / "not" / "there", "here").load() == Remembered()


@pytest.mark.parametrize("position", [0, 10, 70, -1])
async def test_a_damaged_file_is_not_believed_and_not_deleted(
    tmp_path: Path, position: int
) -> None:
    """One flipped bit anywhere makes the file worthless, and onehop starts all the same."""
    memory = Memory(tmp_path, "here")
    await memory.save(REMEMBERED)
    path = tmp_path / "last-known-good"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))

    assert memory.load() == Remembered()
    assert path.exists()


async def test_a_truncated_file_is_not_believed(tmp_path: Path) -> None:
    """A full disk may cut the file where it likes."""
    memory = Memory(tmp_path, "here")
    await memory.save(REMEMBERED)
    path = tmp_path / "last-known-good"
    data = path.read_bytes()
    for size in range(0, len(data), 37):
        path.write_bytes(data[:size])

        assert memory.load() == Remembered()


async def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """Where nothing can be written, what was remembered stays."""
    memory = Memory(tmp_path, "here")
    await memory.save(REMEMBERED)
    (tmp_path / "last-known-good.new").mkdir()

    with pytest.raises(OSError, match="directory"):
        await memory.save(Remembered())

    assert memory.load() == REMEMBERED


async def test_what_another_source_served_is_not_remembered(tmp_path: Path) -> None:
    """Who turns to another cluster does not want the old one's hosts."""
    await Memory(tmp_path, "here").save(REMEMBERED)

    assert Memory(tmp_path, "there").load() == Remembered()
    assert Memory(tmp_path, "here").load() == REMEMBERED

"""`onehop cert` where two onehops stand before one cluster, and their CA is away."""

import json
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.e2e.ca import wishing
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Json
from tests.e2e.program import Ended, Onehop, running
from tests.e2e.program import onehop as command
from tests.e2e.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.envoy]

NOBODY = "https://127.0.0.1:1/directory"
HOST = "one.example.com"


@pytest.fixture
async def pair(
    cluster: Cluster, config: Json, tmp_path: Path
) -> AsyncGenerator[tuple[Onehop, Onehop]]:
    """The leader, and one that waits."""
    assert cluster.kubeconfig.exists()
    issuer = {"name": "internal", "directory": NOBODY}
    first = config | {"acme": {"issuers": [issuer], "preflight": False}}
    second = first | {"listen": {"metrics": "127.0.0.1:9081"}}
    async with running(tmp_path / "a", first) as a:
        await until(lambda: a.logged("leading"), "the first leads")
        async with running(tmp_path / "b", second) as b:
            yield a, b


async def _cert(program: Onehop, *arguments: str) -> Ended:
    return await command("cert", *arguments, "--config", str(program.config_file))


async def test_only_the_leader_knows_and_the_other_one_says_so(
    cluster: Cluster, pair: tuple[Onehop, Onehop]
) -> None:
    """The leader says what is in the way; the other one what it sees, and who leads."""
    leader, other = pair
    cluster.put(wishing("one", HOST))

    async def is_stuck() -> bool:
        listed = json.loads((await _cert(leader, "list", "-o", "json")).out)["certificates"]
        return any(each["phase"] == "unavailable" and each["last_error"] for each in listed)

    async def is_known() -> bool:
        return HOST in (await _cert(other, "list")).out

    await until(is_stuck, "the CA is missed")
    await until(is_known, "the other one has seen the Ingress")
    why = await _cert(leader, "why", HOST)
    again = await _cert(leader, "issue", HOST)
    told = [await _cert(other, *words) for words in (("list",), ("why", HOST), ("issue", HOST))]

    assert (why.code, "there is no certificate yet: tries again" in why.out) == (1, True)
    assert (again.code, again.out.splitlines()[0]) == (0, "shop/one-tls: begun")
    said = f"onehop: {socket.gethostname()} leads and orders certificates; ask the onehop there\n"
    assert [(done.code, done.err) for done in told] == [(1, said)] * 3

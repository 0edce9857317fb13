"""Secrets and ConfigMaps are read one by one, only while somebody wants them."""

import asyncio
from pathlib import Path

from onehop.cluster import ConfigMap, Secret
from onehop.cluster.kind import Kind
from onehop.lab.api import Server
from onehop.lab.api.faults import EmptyList, Forbidden, ServerError
from onehop.model.ident import ObjectRef
from tests.source_kubernetes.world import DEADLINE_S, SHOP, World, eventually, running

TLS = ObjectRef("Secret", SHOP, "tls")
OTHER = ObjectRef("Secret", SHOP, "other")
CA = ObjectRef("ConfigMap", SHOP, "ca")


async def settled(world: World) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await world.source.wants_settled()


async def test_no_secret_is_read_that_nobody_wants(server: Server, tmp_path: Path) -> None:
    """Not one request about Secrets, and nothing to wait for."""
    async with running(server, tmp_path) as world:
        world.cluster.put(Kind.SECRET, "tls")
        await eventually(lambda: world.sink.completed == 1)
        await settled(world)
        assert server.requests.count(resource="secrets") == 0


async def test_wanted_secrets_are_there_or_absent_once_settled(
    server: Server, tmp_path: Path
) -> None:
    """One is handed on with its bytes, the other is reported as absent; then both are followed."""
    async with running(server, tmp_path) as world:
        world.cluster.put(Kind.SECRET, "tls")
        world.source.want(frozenset({TLS, OTHER}))
        assert world.source.unsettled == {TLS, OTHER}
        await settled(world)
        assert world.source.unsettled == frozenset()
        secret = world.sink.objects[TLS]
        assert isinstance(secret, Secret)
        assert secret.data == {"key": b"value"}
        assert world.sink.deleted == [OTHER]
        world.cluster.put(Kind.SECRET, "other")
        await eventually(lambda: OTHER in world.sink.objects)
        world.cluster.remove(Kind.SECRET, "tls")
        await eventually(lambda: world.sink.deleted == [OTHER, TLS])


async def test_config_maps_are_read_by_name_like_secrets(server: Server, tmp_path: Path) -> None:
    """Only the one that is wanted; a Secret of the same name is another object."""
    async with running(server, tmp_path) as world:
        world.cluster.put(Kind.CONFIG_MAP, "ca")
        world.cluster.put(Kind.CONFIG_MAP, "kube-root-ca.crt")
        world.cluster.put(Kind.SECRET, "ca")
        world.source.want(frozenset({CA, TLS}))
        await settled(world)
        found = world.sink.objects[CA]
        assert isinstance(found, ConfigMap)
        assert found.data == {"key": "value"}
        assert {ref for ref in world.sink.objects if ref.kind in {"ConfigMap", "Secret"}} == {CA}
        world.cluster.remove(Kind.CONFIG_MAP, "ca")
        await eventually(lambda: world.sink.deleted == [TLS, CA])


async def test_a_secret_that_is_no_longer_wanted_is_no_longer_read(
    server: Server, tmp_path: Path
) -> None:
    """Its watch ends and nothing is said about it; wanted again, it is handed on again."""
    async with running(server, tmp_path) as world:
        world.cluster.put(Kind.SECRET, "tls")
        world.cluster.put(Kind.SECRET, "other")
        world.source.want(frozenset({TLS, OTHER}))
        await settled(world)
        world.source.want(frozenset({OTHER}))
        world.cluster.put(Kind.SECRET, "tls", changed="yes")
        world.cluster.put(Kind.SECRET, "other", changed="yes")
        states = world.cluster.states(Kind.SECRET)
        await eventually(lambda: world.sink.states()[OTHER] == states[OTHER])
        assert world.sink.states()[TLS] != states[TLS]
        assert world.sink.deleted == []
        world.source.want(frozenset({OTHER, TLS}))
        await settled(world)
        assert world.sink.states()[TLS] == states[TLS]


async def test_a_secret_we_may_not_read_is_settled_and_said(server: Server, tmp_path: Path) -> None:
    """403 is an answer: nobody waits for it, its owner reads why, and it comes with the right."""
    server.faults.arm(Forbidden(), "secrets")
    async with running(server, tmp_path) as world:
        world.cluster.put(Kind.SECRET, "tls")
        world.source.want(frozenset({TLS}))
        await settled(world)
        await eventually(lambda: world.sink.says("Secret/shop/tls", "Grant get, list and watch"))
        assert world.sink.deleted == []
        server.faults.disarm()
        await eventually(lambda: TLS in world.sink.objects)
        await eventually(lambda: world.sink.problems == ())


async def test_a_server_in_trouble_settles_nothing(server: Server, tmp_path: Path) -> None:
    """A 500 says nothing about a Secret; the problem goes when the Secret is unwanted."""
    number = server.faults.arm(ServerError(), "secrets")
    async with running(server, tmp_path) as world:
        world.source.want(frozenset({TLS}))
        await eventually(lambda: world.sink.says("Secret/shop/tls", "500"))
        assert world.source.unsettled == {TLS}
        world.source.want(frozenset())
        await settled(world)
        await eventually(lambda: world.sink.problems == ())
        server.faults.disarm(number)


async def test_an_empty_list_does_not_take_a_certificate_away(
    server: Server, tmp_path: Path
) -> None:
    """What holds for every list holds for a list of one."""
    async with running(server, tmp_path) as world:
        world.cluster.put(Kind.SECRET, "tls")
        world.source.want(frozenset({TLS}))
        await settled(world)
        server.faults.arm(EmptyList(), "secrets")
        counts = world.source.counts[Kind.SECRET]
        await world.pass_time_until(lambda: counts.lists["doubted"] >= 6, step_s=700)
        await eventually(lambda: world.sink.says("Secret/shop/tls", "still there"))
        assert world.sink.deleted == []

"""Kinds that a cluster may lack: nobody waits for them, and nothing of them is wiped."""

from pathlib import Path

import msgspec
import pytest

from onehop.cluster import BlockAffinity, Kind
from onehop.lab.api import Server, put, remove
from onehop.lab.api.faults import Forbidden, ServerError
from onehop.model.ident import ObjectRef
from onehop.source.custom import CustomKinds
from onehop.source.patience import KubernetesOptions
from tests.source_kubernetes.world import OPTIONS, RESOURCES, eventually, running

KIND = Kind.BLOCK_AFFINITY
PLURAL = "blockaffinities"
RESOURCE = f"{PLURAL}.crd.projectcalico.org"
BLOCK = ObjectRef(KIND, "", "n1-10-0-0-0-26")
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": RESOURCE},
    "spec": {
        "group": "crd.projectcalico.org",
        "scope": "Cluster",
        "names": {"kind": KIND.value, "plural": PLURAL},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
OBJECT = {
    "apiVersion": "crd.projectcalico.org/v1",
    "kind": KIND.value,
    "metadata": {"name": BLOCK.name},
    "spec": {"cidr": "10.0.0.0/26", "node": "n1", "state": "confirmed", "deleted": "false"},
}
WELCOME = msgspec.structs.replace(OPTIONS, custom=CustomKinds(welcome=frozenset({KIND})))
NEEDED = msgspec.structs.replace(OPTIONS, custom=CustomKinds(needed=frozenset({KIND})))


@pytest.mark.parametrize("options", [WELCOME, NEEDED], ids=["welcome", "needed"])
async def test_a_kind_that_arrives_later_is_read_then(
    server: Server, tmp_path: Path, options: KubernetesOptions
) -> None:
    """Without its definition it is complete with nothing; within a minute of it, it is read."""
    async with running(server, tmp_path, options) as world:
        await eventually(lambda: world.sink.completed == 1)
        put(server.store, DEFINITION)
        put(server.store, OBJECT)
        await eventually(lambda: BLOCK in world.sink.objects)
        item = world.sink.objects[BLOCK]
        assert isinstance(item, BlockAffinity)
        assert item.is_confirmed
        assert world.sink.completed == 1
        assert world.sink.problems == ()
        remove(server.store, RESOURCE, "", BLOCK.name)
        await eventually(lambda: world.sink.deleted == [BLOCK])


async def test_only_who_names_it_hears_that_it_is_not_there(server: Server, tmp_path: Path) -> None:
    """`auto` takes what there is; `calico` in a cluster without Calico is a mistake."""
    async with running(server, tmp_path, WELCOME) as world:
        await eventually(lambda: world.source.counts[KIND].lists["believed"] > 1)
        assert world.sink.problems == ()
        assert world.source.counts[KIND].silence_s(world.clock.now) < 120
    async with running(server, tmp_path, NEEDED) as world:
        await eventually(lambda: world.sink.says(KIND, "ResourceMissing"))
        await eventually(lambda: world.sink.completed == 1)


async def test_a_denied_kind_keeps_only_those_waiting_who_named_it(
    server: Server, tmp_path: Path
) -> None:
    """With `auto`, a role from before Calico came is no reason not to start."""
    put(server.store, DEFINITION)
    server.faults.arm(Forbidden(), RESOURCE)
    async with running(server, tmp_path, WELCOME) as world:
        await eventually(lambda: world.sink.completed == 1)
        await eventually(lambda: world.sink.says(KIND, "ApiForbidden"))
        await eventually(lambda: world.source.counts[KIND].lists["failed"] > 1)
        assert world.sink.completed == 1
    async with running(server, tmp_path, NEEDED) as world:
        await eventually(lambda: world.sink.says(KIND, "ApiForbidden"))
        await world.in_step(*RESOURCES)
        assert world.sink.completed == 0
        server.faults.disarm()
        await eventually(lambda: world.sink.completed == 1)


@pytest.mark.parametrize("fault", [Forbidden(), ServerError(code=404)], ids=["403", "404"])
async def test_what_an_earlier_process_saw_is_not_given_up_for_a_refusal(
    server: Server, tmp_path: Path, fault: Forbidden | ServerError
) -> None:
    """A refused first list is no list without objects."""
    put(server.store, DEFINITION)
    put(server.store, OBJECT)
    server.faults.arm(fault, RESOURCE)
    async with running(server, tmp_path, WELCOME, expected=frozenset({BLOCK})) as world:
        await eventually(lambda: world.sink.says(KIND))
        assert world.sink.completed == 0
        server.faults.disarm()
        await eventually(lambda: world.sink.completed == 1)
        assert BLOCK in world.sink.objects
        assert world.sink.deleted == []


async def test_a_definition_that_seems_gone_takes_nothing_with_it(
    server: Server, tmp_path: Path
) -> None:
    """A 404 after objects were seen is doubted for as long as it lasts."""
    put(server.store, DEFINITION)
    put(server.store, OBJECT)
    async with running(server, tmp_path, WELCOME) as world:
        await eventually(lambda: BLOCK in world.sink.objects)
        server.faults.arm(ServerError(code=404), RESOURCE)
        await world.pass_time_until(
            lambda: world.sink.says(KIND, "are missing from a complete list"), step_s=700
        )
        await world.pass_time(700)
        assert world.sink.deleted == []
        server.faults.disarm()
        await eventually(lambda: world.sink.problems == ())
        assert world.sink.deleted == []


async def test_kinds_that_nobody_asked_for_are_not_read(server: Server, tmp_path: Path) -> None:
    """The least of rights will do where no plugin is meant."""
    async with running(server, tmp_path) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert KIND not in world.source.counts

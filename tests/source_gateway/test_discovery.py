"""Gateway API's kinds are read where discovery shows them: absent, late, older, newer, denied."""

from pathlib import Path

import msgspec
import pytest

from onehop.base.errors import KubeForbidden, KubeUnavailable
from onehop.cluster import GATEWAY_KINDS, CustomResourceDefinition, Kind, ReferenceGrant
from onehop.cluster.definition import BUNDLE_VERSION, GATEWAY_CLASS_DEFINITION
from onehop.cluster.gateway_ref import GROUP as GATEWAY_GROUP
from onehop.cluster.meta import Meta
from onehop.kube import Client
from onehop.lab.api import Server, put, read, remove
from onehop.lab.api.faults import Forbidden
from onehop.lab.api.kind.gateway_crd import RELEASE_1_3, RELEASE_1_6
from onehop.model.ident import ObjectRef
from onehop.source.custom import CustomKinds
from onehop.source.slim import LAST_APPLIED
from tests.cluster_gateway.objects import BY_KIND, EVERYTHING, define
from tests.source_kubernetes.world import OPTIONS, World, eventually, running

KINDS = frozenset(GATEWAY_KINDS)
GATEWAY_API = msgspec.structs.replace(OPTIONS, custom=CustomKinds(discovered=KINDS))
EDGE = ObjectRef("Gateway", "infra", "edge")
GRANT = ObjectRef("ReferenceGrant", "apps", "routes")


def resource(kind: Kind) -> str:
    """Return the name of a kind's resource, as the lab's switches want it."""
    return f"{GATEWAY_KINDS[kind].plural}.{GATEWAY_GROUP}"


def release_of(world: World) -> str | None:
    """Return the release that the definition of classes names, as the sink has it."""
    definition = world.sink.objects[GATEWAY_CLASS_DEFINITION]
    assert isinstance(definition, CustomResourceDefinition)
    return definition.metadata.annotation(BUNDLE_VERSION)


async def test_a_cluster_without_gateway_api_is_asked_nothing(
    server: Server, tmp_path: Path
) -> None:
    """No list, no complaint, and nobody waits: rights to the kinds are not even needed."""
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)
        await world.pass_time(700)

        assert world.sink.problems == ()
        asked = {kind: server.requests.count("list", resource(kind)) for kind in KINDS}
        assert set(asked.values()) == {0}
        assert not any(world.source.counts[kind].is_listed for kind in KINDS)


async def test_kinds_that_arrive_later_are_read_without_a_restart(
    server: Server, tmp_path: Path
) -> None:
    """All ten of them, and completeness is told once."""
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)
        define(server.store)
        for manifest in EVERYTHING:
            put(server.store, manifest)

        await eventually(lambda: {ref.kind for ref in world.sink.objects} >= set(map(str, KINDS)))
        assert world.sink.completed == 1
        assert world.sink.problems == ()
        assert {ref.kind for ref in world.source.known()} >= set(map(str, KINDS))
        await eventually(lambda: all(world.source.counts[kind].is_listed for kind in KINDS))
        remove(server.store, resource(Kind.GATEWAY), EDGE.namespace, EDGE.name)
        await eventually(lambda: world.sink.deleted == [EDGE])


async def test_what_kubectl_remembers_of_a_manifest_is_not_kept(
    server: Server, tmp_path: Path
) -> None:
    """The last-applied annotation repeats the whole object, and nothing here reads it."""
    define(server.store)
    annotations = {LAST_APPLIED: "{}" * 1000, "onehop.dev/path": "pod"}
    for kind in ("Gateway", "HTTPRoute", "GRPCRoute"):
        metadata = BY_KIND[kind]["metadata"] | {"annotations": annotations}
        put(server.store, BY_KIND[kind] | {"metadata": metadata})
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)

        metas = (each.metadata for each in world.sink.objects.values())
        annotated = [dict(each.annotations or {}) for each in metas if isinstance(each, Meta)]
        assert annotated.count({"onehop.dev/path": "pod"}) == 3
        assert not any(LAST_APPLIED in each for each in annotated)


async def test_the_definition_of_classes_is_read_with_them(server: Server, tmp_path: Path) -> None:
    """It says which release a cluster has, and when that becomes another one."""
    define(server.store)
    definition = GATEWAY_CLASS_DEFINITION
    name = "customresourcedefinitions.apiextensions.k8s.io"
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert release_of(world) == RELEASE_1_6.version
        changed = read(server.store, name, "", definition.name)
        changed["metadata"]["annotations"] = {}
        put(server.store, changed)
        await eventually(lambda: release_of(world) is None)
        assert server.requests.count("list", name) > 0
        assert {ref.name for ref in world.sink.objects if ref.kind == definition.kind} == {
            definition.name
        }


async def test_what_is_there_from_the_start_is_waited_for(server: Server, tmp_path: Path) -> None:
    """A first list that is complete has the Gateways in it: absence means something after it."""
    define(server.store)
    put(server.store, BY_KIND["Gateway"])
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert EDGE in world.sink.objects


async def test_an_older_release_is_read_in_the_versions_that_it_has(
    server: Server, tmp_path: Path
) -> None:
    """ReferenceGrants as v1beta1, streams as alpha; what it has not is not asked for."""
    define(server.store, RELEASE_1_3)
    put(
        server.store,
        BY_KIND["ReferenceGrant"] | {"apiVersion": f"{GATEWAY_GROUP}/v1beta1"},
    )
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)

        assert isinstance(world.sink.objects[GRANT], ReferenceGrant)
        versions = world.source.versions
        assert versions[Kind.REFERENCE_GRANT] == f"{GATEWAY_GROUP}/v1beta1"
        assert versions[Kind.TLS_ROUTE] == f"{GATEWAY_GROUP}/v1alpha3"
        assert versions[Kind.TCP_ROUTE] == f"{GATEWAY_GROUP}/v1alpha2"
        assert KINDS - versions.keys() == {Kind.LISTENER_SET, Kind.BACKEND_TLS_POLICY}
        assert world.sink.problems == ()


async def test_an_upgrade_to_a_newer_version_loses_nothing(server: Server, tmp_path: Path) -> None:
    """The reflector of the newer version expects what the older one held: nothing is wiped."""
    define(server.store, RELEASE_1_3)
    put(
        server.store,
        BY_KIND["ReferenceGrant"] | {"apiVersion": f"{GATEWAY_GROUP}/v1beta1"},
    )
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: GRANT in world.sink.objects)
        define(server.store)
        put(server.store, BY_KIND["ListenerSet"])

        newer = f"{GATEWAY_GROUP}/v1"
        await eventually(lambda: world.source.versions[Kind.REFERENCE_GRANT] == newer)
        await eventually(lambda: ObjectRef("ListenerSet", "shop", "more") in world.sink.objects)
        changed = read(server.store, resource(Kind.REFERENCE_GRANT), GRANT.namespace, GRANT.name)
        changed["metadata"]["labels"] = {"seen": "as-v1"}
        put(server.store, changed)
        await eventually(lambda: world.sink.objects[GRANT].metadata.labels == {"seen": "as-v1"})
        assert world.sink.deleted == []
        assert set(world.source.versions.values()) == {newer}


async def test_a_denied_kind_is_told_and_keeps_nobody_waiting(
    server: Server, tmp_path: Path
) -> None:
    """A role from before Gateway API came is no reason not to serve everything else."""
    define(server.store)
    put(server.store, BY_KIND["Gateway"])
    server.faults.arm(Forbidden(), resource(Kind.HTTP_ROUTE))
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)
        await eventually(lambda: world.sink.says("HTTPRoute", "ApiForbidden"))
        assert EDGE in world.sink.objects
        server.faults.disarm()
        put(server.store, BY_KIND["HTTPRoute"])
        await eventually(lambda: ObjectRef("HTTPRoute", "shop", "web") in world.sink.objects)
        await eventually(lambda: world.sink.problems == ())


async def test_what_an_earlier_process_saw_is_not_given_up_for_a_discovery_that_hides_it(
    server: Server, tmp_path: Path
) -> None:
    """A restart while the definitions are away: the source is not complete, so nothing goes."""
    async with running(server, tmp_path, GATEWAY_API, expected=frozenset({EDGE})) as world:
        await eventually(lambda: world.sink.says("Gateway", "missing from a complete list"))
        assert world.sink.completed == 0
        define(server.store)
        put(server.store, BY_KIND["Gateway"])
        await eventually(lambda: world.sink.completed == 1)
        assert EDGE in world.sink.objects
        assert world.sink.deleted == []


async def test_a_discovery_that_does_not_answer_is_asked_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what there is until it does, so absence means nothing before."""
    define(server.store)
    put(server.store, BY_KIND["Gateway"])
    asked = Client.resources
    failures = iter(range(3))

    async def at_first_in_vain(client: Client, api_version: str) -> frozenset[str]:
        if next(failures, None) is not None:
            assert world.sink.completed == 0
            raise KubeUnavailable("the API server answered 503")
        return await asked(client, api_version)

    monkeypatch.setattr(Client, "resources", at_first_in_vain)
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.completed == 1)
        assert EDGE in world.sink.objects


async def test_a_denied_discovery_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `system:discovery`, everything else is served, and the reason is said."""

    async def denied(_client: Client, _api_version: str) -> frozenset[str]:
        raise KubeForbidden("the API server answered 403")

    monkeypatch.setattr(Client, "resources", denied)
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: world.sink.says("discovery", "ApiForbidden"))
        await eventually(lambda: world.sink.completed == 1)
        monkeypatch.undo()
        await eventually(lambda: world.sink.problems == ())


async def test_definitions_that_vanish_take_nothing_with_them(
    server: Server, tmp_path: Path
) -> None:
    """Who deletes the CRDs by mistake deletes the objects; ours go on until that is certain."""
    define(server.store)
    put(server.store, BY_KIND["Gateway"])
    async with running(server, tmp_path, GATEWAY_API) as world:
        await eventually(lambda: EDGE in world.sink.objects)
        remove(server.store, "customresourcedefinitions", "", resource(Kind.GATEWAY))
        await eventually(lambda: world.sink.says("Gateway", "missing from a complete list"))
        assert EDGE in world.sink.objects

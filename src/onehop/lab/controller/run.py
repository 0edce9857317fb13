"""The controllers, running: they compare what there is with what shall be, and write the rest."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import structlog

from onehop.base.errors import KubeConflict, KubeNotFound, OnehopError
from onehop.kube import Change, Client, Collection
from onehop.lab.controller.calico import (
    POOLS as DEFAULT_POOLS,
)
from onehop.lab.controller.calico import (
    bgp_configuration,
    block_affinity,
    calico_definitions,
    free_blocks,
    ip_pool,
)
from onehop.lab.controller.object import (
    AFFINITIES,
    NODES,
    PODS,
    POOLS,
    SERVICES,
    SLICES,
    Node,
    Pod,
    Slice,
)
from onehop.lab.controller.slices import (
    SERVICE_LABEL,
    Create,
    Delete,
    Replace,
    Write,
    is_ours,
    writes_for,
)
from onehop.lab.mirror import RETRY_S, Mirror

SETTLE_S: Final = 0.02
"""The real one batches Pod changes for up to `--endpoint-updates-batch-period`, 0 by default."""
DEFINITIONS: Final = Collection(
    kind="CustomResourceDefinition",
    api_version="apiextensions.k8s.io/v1",
    plural="customresourcedefinitions",
    struct=dict[str, Any],
    namespaced=False,
)
CONFIGURATIONS: Final = Collection(
    kind="BGPConfiguration",
    api_version="crd.projectcalico.org/v1",
    plural="bgpconfigurations",
    struct=dict[str, Any],
    namespaced=False,
)

log = structlog.get_logger()


class Controller:
    """Everything this process does."""

    def __init__(self, client: Client, *, calico: bool = True) -> None:
        self._client = client
        self._calico = calico
        self._woken = asyncio.Event()
        self._seen: set[str] = set()  # a block may be given before its Node is there
        wake = self._woken.set
        self._services = Mirror(client, SERVICES, wake)
        self._pods = Mirror(client, PODS, wake)
        self._nodes = Mirror(client, NODES, wake)
        self._slices = Mirror(client, SLICES, wake)
        self._affinities = Mirror(client, AFFINITIES, wake)
        self._pools = Mirror(client, POOLS, wake)

    async def run(self) -> None:
        """Work until cancelled."""
        mirrors: list[Mirror[Any]] = [self._services, self._pods, self._nodes, self._slices]
        if self._calico:
            await self._insist_on_defaults()
            mirrors += [self._affinities, self._pools]
        async with asyncio.TaskGroup() as tasks:
            for mirror in mirrors:
                tasks.create_task(mirror.follow())
            while True:
                await self._woken.wait()
                await asyncio.sleep(SETTLE_S)
                self._woken.clear()
                if all(mirror.is_complete for mirror in mirrors):
                    await self._reconcile()

    async def _insist_on_defaults(self) -> None:
        while True:
            try:
                await install_calico(self._client)
            except OnehopError as fault:
                log.info("lab_controller_waits", why=str(fault))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _reconcile(self) -> None:
        try:
            await self._write_slices()
            if self._calico:
                await self._give_blocks()
        except (KubeConflict, KubeNotFound) as fault:
            log.debug("lab_controller_looks_again", why=str(fault))  # its event wakes us
        except OnehopError as fault:
            log.warning("lab_controller_retries", why=str(fault))
            await asyncio.sleep(RETRY_S)
            self._woken.set()

    async def _write_slices(self) -> None:
        existing: defaultdict[tuple[str, str], list[Slice]] = defaultdict(list)
        for (namespace, _), each in sorted(self._slices.objects.items()):
            if is_ours(each):
                existing[namespace, each.metadata.labels.get(SERVICE_LABEL, "")].append(each)
        pods: defaultdict[str, list[Pod]] = defaultdict(list)
        for (namespace, _), pod in self._pods.objects.items():
            pods[namespace].append(pod)
        nodes: Mapping[str, Node] = {name: node for (_, name), node in self._nodes.objects.items()}
        for key in sorted({*self._services.objects, *existing}):
            service = self._services.objects.get(key)
            for write in writes_for(service, pods[key[0]], nodes, existing[key]):
                await self._write(write)

    async def _write(self, write: Write) -> None:
        match write:
            case Create(namespace, body):
                await self._client.create(SLICES, namespace, body)
            case Replace(namespace, name, version, patch):
                change = Change(patch=patch, resource_version=version)
                await self._client.merge_patch(SLICES, namespace, name, change)
            case Delete(namespace, name):
                await self._client.delete(SLICES, namespace, name)

    async def _give_blocks(self) -> None:
        """Give each node a block of each pool, in the order of the nodes' names."""
        affinities = [each.spec for each in self._affinities.objects.values()]
        for pool in list(self._pools.objects.values()):
            in_pool = [each for each in affinities if _family(each.cidr) == _family(pool.spec.cidr)]
            have = {each.node for each in in_pool}
            blocks = free_blocks(
                pool.spec.cidr, pool.spec.block_size, (each.cidr for each in in_pool)
            )
            for _, name in sorted(self._nodes.objects):
                if name not in have and (block := next(blocks, None)):
                    await self._client.create(AFFINITIES, "", block_affinity(name, block))
        names = {name for _, name in self._nodes.objects}
        gone, self._seen = self._seen - names, self._seen | names
        for each in list(self._affinities.objects.values()):  # the copy changes while we await
            if each.spec.node in gone:
                await self._client.delete(AFFINITIES, "", each.metadata.name)


async def install_calico(client: Client) -> None:
    """Make Calico's definitions, its default BGPConfiguration and IPPools; leave what is there."""
    for definition in calico_definitions():
        await _create(client, DEFINITIONS, definition)
    await _create(client, CONFIGURATIONS, bgp_configuration())
    have = [page async for page in client.pages(POOLS)]
    if not any(page.items for page in have):
        for name, (cidr, size) in DEFAULT_POOLS.items():
            await _create(client, POOLS, ip_pool(name, cidr, block_size=size))


async def _create(client: Client, collection: Collection[Any], body: dict[str, Any]) -> None:
    try:
        await client.create(collection, "", body)
    except KubeConflict:
        return


def _family(cidr: str) -> int:
    return 6 if ":" in cidr else 4

"""The node agent: looks at the API's objects, and makes this node's network so."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from onehop.base.errors import OnehopError
from onehop.kube import Collection, Selection
from onehop.lab.mirror import RETRY_S, Mirror
from onehop.lab.node.api import NodeApi
from onehop.lab.node.bgp import BgpFacts, make_plan
from onehop.lab.node.bird import Bird
from onehop.lab.node.birdconf import render
from onehop.lab.node.choice import Choice, choose, family_of, health_checks
from onehop.lab.node.conntrack import drop_stale_flows
from onehop.lab.node.flannel import Overlay, other_ends
from onehop.lab.node.health import HealthServers
from onehop.lab.node.heartbeat import Heartbeat
from onehop.lab.node.kubelet import Kubelet
from onehop.lab.node.nft import Tables
from onehop.lab.node.object import (
    BGP_CONFIGURATIONS,
    BGP_PEERS,
    BLOCK_AFFINITIES,
    IP_POOLS,
    NODES,
    SECRETS,
    SERVICES,
    SLICES,
    BgpConfigurationSpec,
)
from onehop.lab.node.route import Routes, host_routes
from onehop.lab.node.ruleset import Place, make_table

SETTLE_S: Final = 0.01
CALICO_NAMESPACES: Final = ("calico-system", "kube-system")
"""Where calico-node runs, by operator and by manifest: passwords of peers are read there only."""

log = structlog.get_logger()


class NetworkMode(StrEnum):
    """Who leads nodes to each other's Pods."""

    CALICO = "calico"
    """BIRD, by BGP."""
    STATIC = "static"
    """The agent, by routes to other nodes' podCIDRs, as flannel's host-gw does."""
    VXLAN = "vxlan"
    """The agent, by an overlay, as flannel's vxlan does."""
    NONE = "none"
    """Somebody else."""


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which node this is.

    Attributes:
        addresses: its own, `10.111.0.11` or with the length of the link's prefix.
        uplink: the device to the network of the nodes.
        asn: used where neither Node nor BGPConfiguration says one.
    """

    name: str
    state: Path
    addresses: tuple[str, ...]
    uplink: str = "eth0"
    asn: int = 64512
    network: NetworkMode = NetworkMode.CALICO


class Agent:
    """Everything this process does."""

    def __init__(self, api: NodeApi, options: NodeOptions) -> None:
        self._options = options
        self._client = api.client
        self._addresses = tuple(each.partition("/")[0] for each in options.addresses)
        self._woken = asyncio.Event()
        self._mirrors: list[Mirror[Any]] = []
        self._services = self._mirror(SERVICES)
        self._slices = self._mirror(SLICES)
        self._nodes = self._mirror(NODES)
        self._essential = tuple(self._mirrors)
        self._pools = self._mirror(IP_POOLS)
        self._configurations = self._mirror(BGP_CONFIGURATIONS)
        self._peers = self._mirror(BGP_PEERS)
        self._affinities = self._mirror(BLOCK_AFFINITIES)
        self._secrets = [
            self._mirror(SECRETS, Selection(namespace=name)) for name in CALICO_NAMESPACES
        ]
        self._tables = Tables()
        self._families = sorted({family_of(address) for address in self._addresses})
        # As kube-proxy, which is two proxies in one where a node has both families.
        self._health = {family: HealthServers(self._own(family)) for family in self._families}
        self._bird = Bird(options.state)
        self._routes = Routes()
        self._overlay = Overlay(api.client, options.uplink)
        self._kubelet = Kubelet(api, options.name)
        self._heartbeat = Heartbeat(api.client, options.name)

    async def run(self) -> None:
        """Work until cancelled.

        BIRD ends then, and the health checks; rules and routes stay in the kernel, as kube-proxy
        and Calico leave theirs, until the next agent replaces them.
        """
        _forward_packets()
        is_calico = self._options.network is NetworkMode.CALICO
        try:
            async with asyncio.TaskGroup() as tasks:
                for mirror in self._mirrors if is_calico else self._essential:
                    tasks.create_task(mirror.follow())
                tasks.create_task(self._kubelet.run())
                tasks.create_task(self._heartbeat.run())
                if is_calico:
                    tasks.create_task(self._bird.run())
                await self._work()
        finally:
            for servers in self._health.values():
                await servers.close()

    async def _work(self) -> None:
        duties = (self._proxy, self._check_health, self._speak)
        while True:
            await self._woken.wait()
            await asyncio.sleep(SETTLE_S)
            self._woken.clear()
            # Half of the Services would look like endpoints lost.
            if not all(mirror.is_complete for mirror in self._essential):
                continue
            outcomes = [await self._attempt(duty) for duty in duties]
            if not all(outcomes):
                await asyncio.sleep(RETRY_S)
                self._woken.set()

    async def _attempt(self, duty: Callable[[], Awaitable[None]]) -> bool:
        """Return whether a duty was done; what the world does wrong is tried again."""
        try:
            await duty()
        except (OnehopError, OSError) as fault:
            log.warning("lab_node_retries", duty=duty.__name__, why=str(fault))
            return False
        return True

    async def _proxy(self) -> None:
        for family in self._families:
            choices, place = self._choices(family), self._place(family)
            if await self._tables.apply(make_table(choices, place)):
                dropped = await drop_stale_flows(choices, place)
                log.info("lab_rules_applied", family=family, ports=len(choices), forgot=dropped)

    async def _check_health(self) -> None:
        for family, servers in self._health.items():
            await servers.apply(
                health_checks(
                    self._services.objects.values(),
                    self._slices.objects.values(),
                    node=self._options.name,
                    family=family,
                )
            )

    async def _speak(self) -> None:
        match self._options.network:
            case NetworkMode.CALICO:
                if await self._bird.configure(render(make_plan(self._facts()))):
                    log.info("lab_bird_configured")
            case NetworkMode.STATIC:
                nodes = self._nodes.objects.values()
                if await self._routes.apply(host_routes(nodes, self._options.name)):
                    log.info("lab_routes_applied")
            case NetworkMode.VXLAN:
                await self._tunnel()
            case NetworkMode.NONE:
                pass

    async def _tunnel(self) -> None:
        me = self._nodes.objects.get(("", self._options.name))
        if me is None:
            return
        if await self._overlay.join(me):
            self._routes = Routes()
        ends = other_ends(self._nodes.objects.values(), self._options.name)
        await self._overlay.lead_to(ends)
        if await self._routes.apply(end.route for end in ends):
            log.info("lab_overlay_applied", nodes=len(ends))

    def _choices(self, family: int) -> tuple[Choice, ...]:
        return choose(
            self._services.objects.values(),
            self._slices.objects.values(),
            node=self._options.name,
            family=family,
        )

    def _place(self, family: int) -> Place:
        pools = [pool.spec.cidr for pool in self._pools.objects.values()]
        cidrs = [cidr for node in self._nodes.objects.values() for cidr in node.spec.pod_cidrs]
        networks = dict.fromkeys(
            str(ipaddress.ip_network(each)) for each in pools or cidrs if family_of(each) == family
        )
        return Place(
            family=family,
            addresses=self._own(family),
            pod_networks=tuple(sorted(networks)),
            uplink=self._options.uplink,
        )

    def _own(self, family: int) -> tuple[str, ...]:
        return tuple(each for each in self._addresses if family_of(each) == family)

    def _facts(self) -> BgpFacts:
        default = self._configurations.objects.get(("", "default"))
        return BgpFacts(
            name=self._options.name,
            addresses=self._options.addresses,
            configuration=default.spec if default else BgpConfigurationSpec(),
            nodes=tuple(self._nodes.objects.values()),
            peers=tuple(self._peers.objects.values()),
            affinities=tuple(self._affinities.objects.values()),
            pools=tuple(self._pools.objects.values()),
            secrets=tuple(each for mirror in self._secrets for each in mirror.objects.values()),
            default_asn=self._options.asn,
        )

    def _mirror(
        self,
        collection: Collection[Any],
        selection: Selection = Selection(),  # noqa: B008  frozen
    ) -> Mirror[Any]:
        mirror: Mirror[Any] = Mirror(self._client, collection, self._woken.set, selection)
        self._mirrors.append(mirror)
        return mirror


def _forward_packets() -> None:
    """Let this network namespace forward: every network plugin does."""
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        with contextlib.suppress(OSError):  # a kernel without IPv6; the world may have done it
            Path("/proc/sys/net", setting).write_text("1")

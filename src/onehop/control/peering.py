"""Making a cluster's BGP speakers accept this host: what that takes, and doing it.

Run by hand and with the operator's own rights: onehop's account may not write these objects.
"""

import contextlib
import re
import socket
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

import msgspec

from onehop.base.errors import ConfigError, KubeForbidden, KubeNotFound, RejectedError
from onehop.cluster import Kind, Node
from onehop.cluster.kind import KINDS, ClusterObject
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Compiler
from onehop.compile.options import BgpOptions, NeighborSource
from onehop.compile.peer import (
    CLUSTER_CONFIG,
    OWNER,
    OWNER_LABEL,
    Host,
    Json,
    PeerObject,
    calico_peers,
    cilium_peers,
    says,
    with_other_hosts,
)
from onehop.control.config import Config
from onehop.control.configfile import compile_options
from onehop.kube import Change, Client, Collection, collection_of
from onehop.model.address import IpAddr, is_ipv6, parse_ip
from onehop.model.network import Neighbor, NeighborRole

_DISCARD_PORT: Final = 9
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9-]+")


class Present(msgspec.Struct, frozen=True):
    """An object of any kind, as it is on the server."""

    metadata: Meta
    spec: dict[str, Any] = {}

    @property
    def is_ours(self) -> bool:
        """Tell whether it carries our label."""
        return self.metadata.label(OWNER_LABEL) == OWNER


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one object.

    Attributes:
        manifest: the whole object, as it shall be.
        done: what `apply_steps` makes of it: `created`, `updated` or `unchanged`.
        at: the resourceVersion that it changes.
        refusal: why it must not be done.
    """

    manifest: Json
    collection: Collection[Present]
    done: str = "created"
    at: str = ""
    refusal: str = ""

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.manifest["metadata"]["name"])

    def __str__(self) -> str:
        return f"{self.collection.kind}/{self.name}"


async def plan_peers(config: Config, client: Client, *, host_name: str) -> tuple[Step, ...]:
    """Find out what the nodes need; nothing is changed.

    Raises:
        ConfigError: `bgp` names no plugin.
        RejectedError: the cluster has no speakers, or does not serve such objects.
    """
    bgp = compile_options(config).bgp
    if bgp is None or bgp.source is NeighborSource.LISTED:
        raise ConfigError(
            "bgp.neighbors: there is nothing to create in the cluster; this is for `calico` and "
            "`cilium`"
        )
    neighbors = await _neighbors(config, bgp, client)
    if not neighbors:
        raise RejectedError("no node has an address to speak BGP with")
    addresses = sources_of(neighbor.address for neighbor in neighbors)
    if not addresses:
        raise RejectedError("this host has no route to any node, so no address to be known by")
    host = Host(name=_NOT_IN_A_NAME.sub("-", host_name.lower()).strip("-"), addresses=addresses)
    if bgp.source is NeighborSource.CALICO:
        objects = calico_peers(host, bgp, neighbors)
    else:
        objects = cilium_peers(host, bgp)
    return tuple([await _plan(client, wanted) for wanted in objects])


async def apply_steps(client: Client, steps: Iterable[Step]) -> None:
    """Create the objects, or bring them up to date: all of them, or none.

    Raises:
        RejectedError: one of them must not be touched, or the API refuses.
    """
    steps = tuple(steps)
    for step in steps:
        if step.refusal:
            raise RejectedError(step.refusal)
    for step in steps:
        if step.done == "created":
            await client.create(step.collection, "", step.manifest)
        elif step.done == "updated":
            labels = {"labels": step.manifest["metadata"]["labels"]}
            patch = {"metadata": labels, "spec": step.manifest["spec"]}
            change = Change(patch=patch, resource_version=step.at)
            await client.merge_patch(step.collection, "", step.name, change)


def sources_of(destinations: Iterable[IpAddr]) -> tuple[IpAddr, ...]:
    """Return the addresses that packets to these would leave from, sorted; none is sent.

    Connecting a UDP socket makes the kernel look up the route and choose a source (udp(7)).
    """
    found: set[IpAddr] = set()
    for destination in destinations:
        family = socket.AF_INET6 if is_ipv6(destination) else socket.AF_INET
        with (
            contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe,
            contextlib.suppress(OSError),  # no route: no source
        ):
            probe.setblocking(False)  # it never would, but says so
            probe.connect((destination, _DISCARD_PORT))
            source = parse_ip(probe.getsockname()[0])
            if source is not None:
                found.add(source)
    return tuple(sorted(found))


async def _neighbors(config: Config, bgp: BgpOptions, client: Client) -> tuple[Neighbor, ...]:
    """Return the nodes that shall speak with us, as the running program would find them."""
    compiler = Compiler(compile_options(config))
    async for node in _all(client, collection_of(Node)):
        compiler.put(node)
    if bgp.source is NeighborSource.CALICO:
        struct = KINDS[Kind.BGP_CONFIGURATION].struct
        with contextlib.suppress(KubeNotFound):  # Calico's defaults hold where it is not served
            async for item in _all(client, collection_of(struct)):
                compiler.put(item)
    compiler.settle()
    neighbors = compiler.network().neighbors
    return tuple(n for n in neighbors if n.role is not NeighborRole.UPSTREAM)


async def _all(
    client: Client, collection: Collection[ClusterObject]
) -> AsyncGenerator[ClusterObject]:
    async for page in client.pages(collection):
        for raw in page.items:
            yield msgspec.json.decode(raw, type=collection.struct)


async def _plan(client: Client, wanted: PeerObject) -> Step:
    """Compare an object with what is there, in the first version that the cluster serves."""
    for api_version in wanted.api_versions:
        collection = Collection(
            kind=wanted.kind,
            api_version=api_version,
            plural=wanted.plural,
            struct=Present,
            namespaced=False,
        )
        step = Step(manifest=wanted.manifest(api_version), collection=collection)
        with contextlib.suppress(KubeNotFound):
            try:
                return await _compared(client, step)
            except KubeForbidden as err:
                return msgspec.structs.replace(step, refusal=str(err))
    versions = " nor ".join(wanted.api_versions)
    raise RejectedError(
        f"the cluster serves no {wanted.kind} of {versions}; is that plugin there, with BGP on?"
    )


async def _compared(client: Client, step: Step) -> Step:
    present = await client.find(step.collection, "", step.name)
    if step.collection.kind == CLUSTER_CONFIG and (other := await _foreign_config(client, step)):
        refusal = (
            f"{CLUSTER_CONFIG}/{other} configures the nodes already, and a node takes one; add the "
            "peers to it by hand"
        )
        return msgspec.structs.replace(step, refusal=refusal)
    if present is None:
        return step
    if not present.is_ours:
        refusal = (
            f"{step} is there and is not ours: it has no label {OWNER_LABEL}={OWNER}; delete it, "
            "or give it the label"
        )
        return msgspec.structs.replace(step, refusal=refusal)
    manifest = dict(step.manifest)
    if step.collection.kind == CLUSTER_CONFIG:
        manifest["spec"] = with_other_hosts(manifest["spec"], present.spec)
    is_same = says(present.metadata.labels, manifest["metadata"]["labels"]) and says(
        present.spec, manifest["spec"]
    )
    return msgspec.structs.replace(
        step,
        manifest=manifest,
        done="unchanged" if is_same else "updated",
        at=present.metadata.resource_version,
    )


async def _foreign_config(client: Client, step: Step) -> str | None:
    """Return a CiliumBGPClusterConfig of somebody else's: Cilium takes one for each node.

    With a second one it reports `ConflictingClusterConfig`, and goes on with either.
    """
    async for page in client.pages(step.collection):
        for raw in page.items:
            other = msgspec.json.decode(raw, type=Present)
            if not other.is_ours and other.metadata.name != step.name:
                return other.metadata.name
    return None

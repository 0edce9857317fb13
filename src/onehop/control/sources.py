"""Which source a configuration means."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Final, assert_never

import msgspec

from onehop.base.errors import ConfigError
from onehop.cluster import GATEWAY_KINDS, Kind
from onehop.compile.options import AllocationSource
from onehop.compile.tables import VERDICTS_OF
from onehop.control.config import Config
from onehop.control.configfile import state_directory
from onehop.control.issuing.folder import FolderSecrets
from onehop.kube import Access, Client, connect
from onehop.source import Source
from onehop.source.counts import ReflectorCounts
from onehop.source.custom import CustomKinds
from onehop.source.kubernetes import KubernetesSource
from onehop.source.manifests import ManifestSource
from onehop.source.patience import KubernetesOptions
from onehop.status.channel import newest_version

GATEWAY_API: Final = frozenset(
    {kind for kind in GATEWAY_KINDS if kind.value in VERDICTS_OF} | {Kind.REFERENCE_GRANT}
)
"""The kinds of Gateway API that are served, and those that say how; no others are even read."""


class Origin:
    """A source, and the client to write back with where there is one.

    Attributes:
        reflectors: what a cluster's reflectors count, by kind; empty for a folder.
        secrets: where a folder's own Secrets are kept; None for a cluster, which keeps them itself.
        api_version: the version in which a cluster serves a kind.
    """

    def __init__(  # noqa: PLR0913  what a source may have besides, by name
        self,
        name: str,
        source: Source,
        *,
        client: Client | None = None,
        reflectors: Mapping[Kind, ReflectorCounts] | None = None,
        secrets: FolderSecrets | None = None,
        api_version: Callable[[Kind], str] = newest_version,
    ) -> None:
        self.name = name
        self.source = source
        self.client = client
        self.reflectors = reflectors or {}
        self.secrets = secrets
        self.api_version = api_version


def custom_kinds(config: Config) -> CustomKinds:
    """Return which kinds of network plugins a configuration reads: no more than it uses."""
    allocation, speaks = config.reach.allocation, config.bgp.asn is not None
    pools = frozenset({Kind.IP_POOL} if speaks else ())
    needed: set[Kind] = {Kind.BGP_CONFIGURATION} if config.bgp.neighbors == "calico" else set()
    match allocation:
        case AllocationSource.CALICO:
            needed |= {Kind.BLOCK_AFFINITY, *pools}
        case AllocationSource.CILIUM:
            needed |= {Kind.CILIUM_NODE}
        case AllocationSource.AUTO:
            welcome = {Kind.BLOCK_AFFINITY, Kind.CILIUM_NODE, *pools}
            return CustomKinds(needed=frozenset(needed), welcome=frozenset(welcome))
        case AllocationSource.NODES:
            pass
        case _:
            assert_never(allocation)
    return CustomKinds(needed=frozenset(needed))


def source_name(config: Config) -> str:
    """Return which source a configuration means, for people and for telling two apart."""
    cluster = config.cluster
    if cluster.manifests is not None:
        return f"manifests {Path(cluster.manifests).resolve()}"
    if cluster.in_cluster:
        return f"cluster {cluster.name}, in-cluster"
    place = " ".join(filter(None, (cluster.kubeconfig, cluster.context))) or "default kubeconfig"
    return f"cluster {cluster.name}, {place}"


@contextlib.asynccontextmanager
async def open_source(config: Config) -> AsyncGenerator[Origin]:
    """Open the source of a configuration.

    Raises:
        ConfigError: the folder or the kubeconfig is not there, or makes no sense.
    """
    cluster = config.cluster
    if cluster.manifests is not None:
        manifests = ManifestSource(_existing(Path(cluster.manifests)))
        secrets = FolderSecrets(state_directory(config) / "secrets", manifests)
        yield Origin(source_name(config), manifests, secrets=secrets)
        return
    access = Access(
        kubeconfig=_readable(cluster.kubeconfig),
        context=cluster.context or "",
        in_cluster=cluster.in_cluster,
    )
    async with connect(access) as client:
        custom = msgspec.structs.replace(custom_kinds(config), discovered=GATEWAY_API)
        source = KubernetesSource(client, KubernetesOptions(custom=custom))
        yield Origin(
            source_name(config),
            source,
            client=client,
            reflectors=source.counts,
            api_version=lambda kind: source.versions.get(kind, newest_version(kind)),
        )


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"cluster.manifests: {folder} is not a directory")
    return folder


def _readable(kubeconfig: str | None) -> str:
    """Return the path of a file that is there, or nothing where kubectl's rules find it."""
    if kubeconfig is not None and not Path(kubeconfig).is_file():
        raise ConfigError(f"cluster.kubeconfig: {kubeconfig} is not a file")
    return kubeconfig or ""

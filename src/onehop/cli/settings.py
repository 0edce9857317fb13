"""Flags that many commands have, and the configuration that comes of them."""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import typer

from onehop.control.config import Config
from onehop.control.configfile import check_config, load_config

DEFAULT_CONFIG: Final = Path("/etc/onehop/onehop.yaml")

ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option("--config", "-c", help=f"onehop.yaml; {DEFAULT_CONFIG} if it exists")
]
ManifestsOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="read objects from the YAML files of a folder, not a cluster")
]
KubeconfigOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="the cluster's kubeconfig; as kubectl finds it by default")
]
StateOption: TypeAlias = Annotated[
    Path | None, typer.Option(help="directory of the last known good and the sockets")
]
OutputOption: TypeAlias = Annotated[
    Literal["text", "json"], typer.Option("--output", "-o", help="for people or for programs")
]


def read_config(
    path: Path | None,
    *,
    manifests: Path | None = None,
    kubeconfig: Path | None = None,
    state: Path | None = None,
    driver: str | None = None,
) -> Config:
    """Return the configuration with the flags over it.

    Raises:
        ConfigError: see `load_config`.
    """
    if path is None and DEFAULT_CONFIG.exists():
        path = DEFAULT_CONFIG
    config = load_config(path) if path is not None else Config()
    cluster = config.cluster
    if manifests is not None:
        cluster = msgspec.structs.replace(
            cluster, manifests=str(manifests), kubeconfig=None, in_cluster=False
        )
    if kubeconfig is not None:
        cluster = msgspec.structs.replace(
            cluster, kubeconfig=str(kubeconfig), manifests=None, in_cluster=False
        )
    config = msgspec.structs.replace(
        config, cluster=cluster, state=str(state) if state is not None else config.state
    )
    if driver is not None:
        data_plane = msgspec.structs.replace(config.data_plane, driver=driver)
        config = msgspec.structs.replace(config, data_plane=data_plane)
    check_config(config, name=str(path) if path is not None else "flags")
    return config

"""Where the API server is and how we prove who we are.

The `kubernetes` package reads kubeconfig files, runs exec plugins and knows the service account's
files; we add what a process that runs for months needs: credentials that are read again when they
expire or when the server stops accepting them.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_HOST_ENV_NAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)

from onehop.base.errors import ConfigError, KubeUnavailable

PLUGIN_TIMEOUT_S: Final = 60.0
REREAD_AFTER_S: Final = 60.0
"""How long a token file is trusted before we look again; kubelet rotates tokens at 80 % of their
life, an hour or more (https://kubernetes.io/docs/concepts/security/service-accounts/)."""

_FAULTS: Final = (
    ConfigException,
    OSError,
    yaml.YAMLError,
    # The loader meets wrong forms (a user that is a string, no user at all) by falling over them.
    TypeError,
    AttributeError,
    KeyError,
    ValueError,
)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Which credentials to use.

    With neither a file nor `in_cluster`, the order is: `$KUBECONFIG`, `~/.kube/config`, the service
    account of the Pod we run in.

    Attributes:
        kubeconfig: path of a kubeconfig file, or several joined by ":".
        context: a context of that file; empty means its `current-context`.
        service_account: folder of `token` and `ca.crt`.
    """

    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool = False
    service_account: str = str(Path(SERVICE_TOKEN_FILENAME).parent)


class Loader(Protocol):
    """What we need of the package's two loaders once they have loaded."""

    async def load(self) -> Configuration:
        """Read everything again, and return it as a new configuration."""
        ...

    async def refresh(self, configuration: Configuration) -> None:
        """Renew the token in the configuration if it is due."""
        ...


class KubeconfigLoader:
    """Credentials of a kubeconfig file."""

    def __init__(self, path: str, context: str, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._context = context or None
        self._clock = clock
        self._loaded: Any = None
        self._read_at = 0.0

    async def load(self) -> Configuration:
        """Read the file and run its exec plugin, if it names one."""
        configuration = _configuration()
        self._loaded = await load_kube_config(
            config_file=self._path,
            context=self._context,
            client_configuration=configuration,
            persist_config=False,
        )
        self._read_at = self._clock()
        return configuration

    async def refresh(self, configuration: Configuration) -> None:
        """Run the exec plugin again when its token expires; read token files every minute.

        A plugin's answer without `expirationTimestamp` holds until the server refuses it
        (https://kubernetes.io/docs/reference/access-authn-authz/authentication/, "client-go
        credential plugins").
        """
        user = self._loaded._user or ()  # noqa: SLF001  as the package's own `refresh_token` does
        if "exec" in user:
            if hasattr(self._loaded, "exec_plugin_expiry"):
                await self._loaded.load_from_exec_plugin()
                configuration.api_key["BearerToken"] = self._loaded.token
        elif ("tokenFile" in user or "auth-provider" in user) and self._is_stale():
            configuration.api_key = (await self.load()).api_key

    def _is_stale(self) -> bool:
        return self._clock() - self._read_at >= REREAD_AFTER_S


class ServiceAccountLoader:
    """Credentials that Kubernetes gives to the Pods it runs."""

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self._folder = Path(folder)
        self._environ = environ

    async def load(self) -> Configuration:
        """Read the token and the CA; the hook that comes with them renews the token."""
        configuration = _configuration()
        InClusterConfigLoader(
            token_filename=str(self._folder / Path(SERVICE_TOKEN_FILENAME).name),
            cert_filename=str(self._folder / Path(SERVICE_CERT_FILENAME).name),
            environ=self._environ,
        ).load_and_set(configuration)
        return configuration

    async def refresh(self, configuration: Configuration) -> None:
        """Do nothing: the package's own `refresh_api_key_hook` reads the file every minute."""


def _configuration() -> Configuration:
    """Return one that believes what other clients believe; see `base.trust`.

    Some managed clusters have certificates without key identifiers.
    """
    configuration = Configuration()
    configuration.disable_strict_ssl_verification = True
    return configuration


def find_loader(
    access: Access,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
) -> Loader:
    """Return the loader of the credentials that `access` means.

    Raises:
        ConfigError: there are none in any of the usual places.
    """
    if access.in_cluster:
        return ServiceAccountLoader(access.service_account, environ)
    if access.kubeconfig:
        return KubeconfigLoader(access.kubeconfig, access.context, clock=clock)
    usual = environ.get("KUBECONFIG") or str(Path(environ.get("HOME", "/")) / ".kube" / "config")
    if any(Path(part).exists() for part in usual.split(os.pathsep) if part):
        return KubeconfigLoader(usual, access.context, clock=clock)
    if environ.get(SERVICE_HOST_ENV_NAME):
        return ServiceAccountLoader(access.service_account, environ)
    raise ConfigError(
        f"no Kubernetes credentials: {usual} does not exist and this is no Pod; "
        "set cluster.kubeconfig, or cluster.inCluster"
    )


class Credentials:
    """The configuration in force, and how to get a better one.

    Attributes:
        generation: grows with every reload, so that a refused request can tell whether somebody
            has reloaded since it was sent.
    """

    def __init__(self, loader: Loader, configuration: Configuration) -> None:
        self._loader = loader
        self._lock = asyncio.Lock()
        self.configuration = configuration
        self.generation = 0

    @classmethod
    async def load(cls, loader: Loader) -> "Credentials":
        """Read the credentials for the first time.

        Raises:
            ConfigError: a file is missing, or is not what it should be.
        """
        return cls(loader, await _load(loader))

    async def authorization(self) -> str | None:
        """Return the Authorization header of the next request; None with client certificates.

        Raises:
            KubeUnavailable: the token was due to be renewed, and that failed.
        """
        configuration = self.configuration
        try:
            async with asyncio.timeout(PLUGIN_TIMEOUT_S):
                await self._loader.refresh(configuration)
                key = await configuration.get_api_key_with_prefix("BearerToken")
        except _FAULTS as error:
            raise KubeUnavailable(f"credentials cannot be renewed: {error}") from error
        return str(key).strip() if key else None

    async def reload(self, seen: int) -> None:
        """Read everything again, unless somebody did since generation `seen`.

        Raises:
            ConfigError: the files are gone or damaged; the old configuration stays in force.
        """
        async with self._lock:
            if self.generation == seen:
                self.configuration = await _load(self._loader)
                self.generation += 1


async def _load(loader: Loader) -> Configuration:
    try:
        async with asyncio.timeout(PLUGIN_TIMEOUT_S):
            configuration = await loader.load()
    except _FAULTS as error:
        raise ConfigError(f"Kubernetes credentials cannot be read: {error}") from error
    # The package's default is at most 100 connections, and every watch occupies one for good.
    configuration.connection_pool_maxsize = 0
    return configuration

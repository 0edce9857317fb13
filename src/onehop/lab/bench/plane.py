"""The data planes that the ways are measured on, each as `onehop.yaml` says it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from onehop.base.child import finish
from onehop.base.errors import ConfigError
from onehop.driver.envoy.binary import find_envoy
from onehop.driver.haproxy.binary import find_haproxy, version_of
from onehop.lab.bench.way import LOADS, Load

_VERSION_TIMEOUT_S: Final = 10.0


class Plane(msgspec.Struct, frozen=True, kw_only=True):
    """Who carries the traffic at the load balancer.

    Attributes:
        title: for people.
        program: by which name its processes are known; "" if it has none, as the kernel.
        processes: how many of them there are when all is quiet.
        loads: that it carries.
    """

    name: str
    title: str
    program: str
    processes: int = 1
    loads: tuple[Load, ...] = LOADS

    @property
    def is_kernel(self) -> bool:
        """Whether no process carries anything."""
        return not self.program

    @property
    def config(self) -> Mapping[str, Any]:
        """The section `dataPlane`: one worker, as everybody has one processor."""
        return {
            "driver": self.program or ENVOY.program,
            "layer4": "kernel" if self.is_kernel else "proxy",
            "envoy": {"concurrency": 1},
            "haproxy": {"threads": 1},
        }


ENVOY: Final = Plane(name="envoy", title="Envoy", program="envoy")
HAPROXY: Final = Plane(name="haproxy", title="HAProxy", program="haproxy", processes=2)
"""Its processes are the master and the worker."""
KERNEL: Final = Plane(
    name="kernel",
    title="the kernel",
    program="",
    processes=0,
    loads=tuple(load for load in LOADS if load.is_tcp),
)
"""Layer 4 only: Ingresses are served by a proxy beside it."""

PLANES: Final = (ENVOY, HAPROXY, KERNEL)


def planes_of(names: tuple[str, ...]) -> tuple[Plane, ...]:
    """Return the data planes of these names, each once, in the order in which they are asked for.

    Raises:
        ConfigError: one cannot be measured.
    """
    known = {plane.name: plane for plane in PLANES}
    for name in names:
        if name == "vtm":
            raise ConfigError(
                "--driver vtm: a lab has a simulator of the appliance's REST API, which carries no"
                " traffic; measure a real unit from outside"
            )
        if name not in known:
            raise ConfigError(f"--driver {name}: none of {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))


async def version_here(plane: Plane) -> str:
    """Return the version of what carries the traffic; "" for the kernel, which is known anyway.

    Raises:
        ConfigError: it is not here, or too old.
    """
    if plane.is_kernel:
        return ""
    if plane == HAPROXY:
        return (await version_of(find_haproxy(plane.program))).rpartition(" ")[2]
    return await envoy_version()


async def envoy_version() -> str:
    """Return the version of Envoy, which Pods and the second tier are whatever the data plane.

    Raises:
        ConfigError: there is none.
    """
    done = await finish((str(find_envoy()), "--version"), timeout_s=_VERSION_TIMEOUT_S)
    return done.out.decode().rpartition("version: ")[2].split("/")[1]

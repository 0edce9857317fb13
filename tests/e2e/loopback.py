"""The rootless flavour: a folder of manifests, loopback addresses and high ports."""

import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import yaml

from onehop.lab.pod import serve_http
from tests.e2e.objects import Json, endpoints, ingress, ingress_class, service

_PID: Final = os.getpid()
_NET: Final = f"127.{1 + (_PID >> 8) % 250}.{_PID & 255}"
"""Addresses of this process alone: two test runs on one machine do not meet."""

VIP: Final = f"{_NET}.1"
POD: Final = f"{_NET}.11"
POOL: Final = f"{_NET}.20-{_NET}.29"
HTTP: Final = 18080
HTTPS: Final = 18443
METRICS: Final = 19080
SITE: Final = f"{VIP}:{HTTP}"


class Folder:
    """A folder of manifests, one file for each story."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def write(self, name: str, *objects: Json) -> None:
        """Replace a file, as an editor does: beside it first."""
        self.write_text(name, yaml.safe_dump_all(objects))

    def write_text(self, name: str, text: str) -> None:
        """Replace a file by any text."""
        draft = self.path.parent / f"{name}.draft"
        draft.write_text(text)
        draft.rename(self.path / name)

    def config(self) -> Json:
        """Return a configuration that serves it without root."""
        return {
            "cluster": {"manifests": str(self.path), "allowLoopback": True},
            "addresses": {
                "shared": VIP,
                "pools": [{"name": "local", "cidrs": [POOL]}],
                "bind": {"none": True},
            },
            "ports": {"http": HTTP, "https": HTTPS},
            "listen": {"metrics": f"{VIP}:{METRICS}"},
            "dataPlane": {"envoy": {"concurrency": 1}},
        }


@contextlib.asynccontextmanager
async def folder_in(path: Path) -> AsyncGenerator[Folder]:
    """Make a folder with the shop in it, and run its Pod."""
    folder = Folder(path / "manifests")
    folder.write("class.yaml", ingress_class())
    folder.write("shop.yaml", service(), endpoints("web", POD), ingress())
    async with serve_http("web", "web-1", POD, 8080):
        yield folder

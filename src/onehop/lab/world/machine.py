"""What a lab asks of the machine it is built on."""

import os
import shutil
import sys
from typing import Final

from onehop.base.errors import ConfigError

_TOOLS: Final = {
    "ip": "iproute2",
    "nft": "nftables",
    "bird": "bird2",
    "birdc": "bird2",
    "curl": "curl",
    "setsid": "util-linux",
    "unshare": "util-linux",
}
"""Programs, and the Debian packages they are in."""


def check_machine() -> None:
    """See that a lab can be built here.

    Raises:
        ConfigError: what is missing, and how to get it.
    """
    if sys.platform != "linux":
        raise ConfigError("a lab is made of network namespaces: it needs Linux")
    if os.geteuid() != 0:
        raise ConfigError("a lab is made of network namespaces: run it as root, with sudo")
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({_TOOLS[tool] for tool in missing}))
        raise ConfigError(f"no {', '.join(missing)} here: apt-get install {packages}")

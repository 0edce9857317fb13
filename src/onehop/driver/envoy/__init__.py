"""The default data plane: an Envoy of our own, fed by delta xDS.

Enters: plans and endpoints. Leaves: receipts, and resources on a Unix socket. `control` imports it;
it imports no other driver. Start reading at `driver`; what a row becomes is in `translator`.
"""

from onehop.driver.envoy.driver import EnvoyDriver
from onehop.driver.envoy.options import EnvoyOptions
from onehop.driver.envoy.render import render_config, validate_config

__all__ = ["EnvoyDriver", "EnvoyOptions", "render_config", "validate_config"]

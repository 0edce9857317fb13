"""HAProxy as a data plane.

Enters: Plans and endpoints. Leaves: a configuration, map files and certificates that HAProxy
loads, and what its runtime API is told in between. Only `control` imports it.
"""

from onehop.driver.haproxy.driver import HaproxyDriver
from onehop.driver.haproxy.options import HaproxyOptions

__all__ = ["HaproxyDriver", "HaproxyOptions"]

"""HAProxy as a data plane.

Enters: Plans and endpoints. Leaves: a configuration, map files and certificates that HAProxy
loads, and what its runtime API is told in between. Only `control` imports it.
"""

from onehop.driver.haproxy.driver import HaproxyDriver, describe_haproxy
from onehop.driver.haproxy.options import Attachment, HaproxyOptions

__all__ = ["Attachment", "HaproxyDriver", "HaproxyOptions", "describe_haproxy"]

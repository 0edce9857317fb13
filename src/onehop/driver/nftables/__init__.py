"""Layer 4 in the kernel: TCP and UDP listeners as elements of nftables maps.

Enters: plans and endpoints. Leaves: elements of the table `inet onehop_l4`, and of no other one.
`ruleset` says what the rules are; they never change. What changes are elements (`entrance`).
"""

from onehop.driver.nftables.driver import NftablesDriver
from onehop.driver.nftables.fit import misfit
from onehop.driver.nftables.sweep import sweep

__all__ = ["NftablesDriver", "misfit", "sweep"]

"""The lab: a small data centre on one machine, to try onehop before owning any hardware.

Enters: the wish for a cluster, nodes, neighbours. Leaves: the same, in network namespaces and one
process. Nothing but the command line and tests import it.
"""

"""What runs on every node of a cluster, for the lab: it is not kube-proxy, Calico or kubelet.

Enters: Services, EndpointSlices, Nodes, Pods and Calico's objects of one API. Leaves: in the
network namespace it was started in, nftables rules that treat Services as kube-proxy does, an HTTP
server on each healthCheckNodePort, and a BIRD that speaks as Calico's does; and the Pods' readiness
and end in the API. `lab.world` starts it (`python -m onehop.lab.node`) and uses what is named here.

What is real: conntrack, DNAT and SNAT, dropped packets, BGP sessions, routes of the kernel. What is
missing: IPVS and iptables modes, SCTP, topology hints, network policy, IP-in-IP.
"""

from onehop.lab.node.bird import SOCKET
from onehop.lab.node.nft import read_counters
from onehop.lab.node.process import process_mark
from onehop.lab.node.ruleset import SECOND_HOP, counter_name

__all__ = ["SECOND_HOP", "SOCKET", "counter_name", "process_mark", "read_counters"]

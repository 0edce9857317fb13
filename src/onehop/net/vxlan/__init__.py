"""Being one more tunnel endpoint of a cluster whose Pods are behind a VXLAN overlay (RFC 7348).

Enters: which end of the tunnels we are (`vtep.Vtep`), and the nodes' ends (`model.network.Tunnel`).
Leaves: a device, its neighbours, forwarding entries and routes, and the Node object that makes the
cluster's nodes send answers back. `control` and `cli` import it.

`device` brings pyroute2 along, and `overlay` brings `device`; so nothing is named here.
"""

"""The few messages of rtnetlink(7) that routes in bulk need, as bytes and back.

Enters: routes, neighbours, rules of ours. Leaves: messages for the kernel, and what it answers.
`net` uses it; it knows nothing of Kubernetes.

pyroute2 does all of it, in one request and one answer a route, and with 100 µs of parsing each. A
cluster has thousands of nodes, and a restart shall not block the event loop for half a second; so
what comes in thousands is packed here, and pyroute2 keeps the single errands (`interface`,
`vxlan.device`).
"""

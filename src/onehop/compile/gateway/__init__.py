"""Gateway API: from its objects to the same rows that Services and Ingresses become.

Enters: GatewayClasses, Gateways, routes, ReferenceGrants. Leaves: listeners, hosts, pools and
verdicts. Imported by `compile`, whose tables these are among; data planes see none of it.
"""

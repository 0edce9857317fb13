"""The wiring: source -> compile -> plan -> driver -> status, and the rules that keep it safe.

Enters: a `Config`. Leaves: a running load balancer. The only package that knows everybody; only
the faces (web, cli, lab) stand above it.
"""

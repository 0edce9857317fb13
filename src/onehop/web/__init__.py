"""Health, metrics and control over HTTP.

Enters: a `control.Overview` of the running program. Leaves: answers. Health and metrics are on the
address the operator names; what changes anything is on a Unix socket only its owner may open.
"""

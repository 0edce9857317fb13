"""How the program is observed: log lines and metrics.

Enters: facts. Leaves: structlog events on stderr, Prometheus series. The core never imports it.
"""

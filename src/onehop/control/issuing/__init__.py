"""Certificates by ACME, as the program does it: the engine's ports, over Secrets and Leases.

Enters: what objects ask for, and what the data plane has acknowledged. Leaves: TLS Secrets, like
any other. Who leads runs the engine of `onehop.acme`; every host confirms what it answers.
"""

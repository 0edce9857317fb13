"""Certificates by themselves: an ACME client (RFC 8555) as an engine that a program owns.

Enters: `CertificateWish`es, `Issuer`s, and three ports: a `Vault`, a `Responder`, a `Clock`.
Leaves: certificates and keys in the Vault, a `State` per wish. `control` imports it.

The names are not gathered here: `engine.Engine` brings josepy, aiohttp and dnspython, 0.3 s that a
host which orders nothing shall not pay for. `issuer`, `port`, `saved` and `state` are light.
"""

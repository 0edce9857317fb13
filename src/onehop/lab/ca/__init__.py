"""A small ACME CA in memory, for the demo, the lab and tests. Trust it nowhere else.

Enters: orders by ACME (RFC 8555, with RFC 8737, RFC 9773 and profiles), over HTTPS. Leaves:
certificates below a root that is made when it starts and forgotten when it ends. The command
line, the lab and tests import it.

It really looks: no certificate without a proven host, a signature, a nonce. What it does not do:
dns-01 and so wildcards, CAA, multiple perspectives, pre-authorization, key change, CRL and OCSP.

Start reading at `server` (what every request must be), then `order`, then `validation`.
"""

from onehop.lab.ca.ca import Ca
from onehop.lab.ca.option import CaOptions, Profile
from onehop.lab.ca.server import running_ca

__all__ = ["Ca", "CaOptions", "Profile", "running_ca"]

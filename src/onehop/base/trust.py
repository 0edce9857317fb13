"""Whom to believe, alike on every Python.

From 3.13 on, Python refuses certificates that RFC 5280, section 4.2, finds wanting: without key
identifiers, for one (https://docs.python.org/3/library/ssl.html#ssl.create_default_context). Those
of many appliances and private CAs are, and no other program of their owners refuses them.
"""

import ssl
from pathlib import Path


def trusting(*, ca_pem: str | None = None, ca_file: Path | None = None) -> ssl.SSLContext:
    """Return what verifies servers by a CA, or by those of the system if none is given.

    Raises:
        OSError: `ca_file` cannot be read.
        ssl.SSLError: there is no certificate in it.
    """
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_pem)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context

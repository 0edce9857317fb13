"""What our own objects are called in the cluster.

Names derive from what they are about, so that a crash forgets nothing and people can read them.
Kubernetes allows RFC 1123 subdomains of at most 253 characters
(https://kubernetes.io/docs/concepts/overview/working-with-objects/names/).
"""

import hashlib
import re
from typing import Final

from onehop.model.ident import ObjectRef

ACCOUNT: Final = "onehop-acme-account"
RECORD: Final = "onehop-acme-record"
HOST: Final = "onehop-host"

_LONGEST: Final = 253
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def account_name(issuer: str) -> str:
    """Return the name of the Secret that holds the account of an issuer."""
    return _name(ACCOUNT, issuer)


def record_name(secret: ObjectRef) -> str:
    """Return the name of the Secret that holds the record of a certificate.

    A namespace has no dot, so no two Secrets share one.
    """
    return _name(RECORD, f"{secret.namespace}.{secret.name}")


def host_name(hostname: str, instance: str) -> str:
    """Return the name of the Lease of a host of the load balancer.

    Args:
        hostname: for people.
        instance: what tells two onehops apart that run on one host, or on clones of one.
    """
    return _name(HOST, f"{hostname.lower()}-{_digest(instance)[:8]}")


def is_subdomain(text: str) -> bool:
    """Tell whether an object may be called so."""
    return len(text) <= _LONGEST and _SUBDOMAIN.fullmatch(text) is not None


def _name(prefix: str, about: str) -> str:
    """Return a readable name, or one with a hash where that would not be allowed.

    The dot before the hash keeps the one kind from ever being the other.
    """
    name = f"{prefix}-{about}"
    if _SUBDOMAIN.match(about) and is_subdomain(name):
        return name
    return f"{prefix}.{_digest(about)[:32]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

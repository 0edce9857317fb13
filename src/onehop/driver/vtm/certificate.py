"""A certificate as an SSL server key, and how its key is told from another without being read."""

import base64
import hashlib
from typing import Any

from onehop.driver.vtm.content import Content, Kind, ObjectKey
from onehop.driver.vtm.name import Names
from onehop.model.certificate import Certificate


def render_certificate(certificate: Certificate, names: Names) -> dict[ObjectKey, Content]:
    """Return the server key; `private` is a `SecretText` until it is written."""
    basic: dict[str, Any] = {
        "note": names.note(certificate.id),
        "private": certificate.key_pem,
        "public": certificate.chain_pem,
        "request": "",
    }
    return {ObjectKey(Kind.KEY, names.name(certificate.id)): {"basic": basic}}


def key_digest(pem: str) -> str:
    """Return what a unit answers in place of a private key: the SHA-256 of the text, in base64."""
    return base64.b64encode(hashlib.sha256(pem.encode()).digest()).decode()

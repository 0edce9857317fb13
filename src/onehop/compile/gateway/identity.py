"""Which certificate a Gateway shows to endpoints that ask for one (GEP-3155).

`apis/v1/gateway_types.go`, GatewayBackendTLS. It is shown wherever endpoints are spoken to by TLS.
While it cannot be had there are no such connections: endpoints would take us for somebody else.
"""

from typing import Final

import msgspec

from onehop.cluster.gateway import GatewayTls
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.grant import is_granted, secret_of
from onehop.compile.sheet import Reader
from onehop.model.ident import CertificateId, ObjectRef
from onehop.model.problem import quoted

FIELD: Final = "spec.tls.backend.clientCertificateRef"


class ClientIdentity(msgspec.Struct, frozen=True, gc=False):
    """What is shown to endpoints.

    Attributes:
        certificate: there or not; that of a bad reference never is.
        secret: which holds it; None if the reference is bad.
        fault: why it is bad, or None.
    """

    certificate: CertificateId
    secret: ObjectRef | None = None
    fault: Saying | None = None


def read_identity(
    reader: Reader, gateway: ObjectRef, tls: GatewayTls | None
) -> ClientIdentity | None:
    """Return what a Gateway shows to endpoints, or None if nothing."""
    ref = tls.backend.client_certificate_ref if tls is not None and tls.backend else None
    if ref is None:
        return None
    secret = secret_of(gateway, ref)
    if secret is None:
        what = f"{quoted(ref.kind)} {quoted(ref.name)} is no Secret"
        return _refused(gateway, "InvalidClientCertificateRef", what)
    if not is_granted(reader, gateway, secret):
        what = f"no ReferenceGrant in {secret.namespace} lets this Gateway refer to {secret}"
        return _refused(gateway, "RefNotPermitted", what)
    return ClientIdentity(CertificateId(f"{secret.namespace}/{secret.name}"), secret)


def _refused(gateway: ObjectRef, reason: str, what: str) -> ClientIdentity:
    """Return an identity that nobody has: no Secret's certificate is called so."""
    nobody = CertificateId(f"refused:{gateway.namespace}/{gateway.name}")
    return ClientIdentity(nobody, fault=unresolved(reason, what))


def unresolved(reason: str, what: str) -> Saying:
    """Return the condition of a reference that leads nowhere, in words."""
    message = f"{what}; there are no connections to endpoints that speak TLS until it is mended"
    return Saying("ResolvedRefs", Truth.FALSE, reason, message)

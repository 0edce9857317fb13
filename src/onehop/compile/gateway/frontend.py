"""What a Gateway asks of its clients: certificates, by port (GEP-91).

`apis/v1/gateway_types.go`, GatewayTLSConfig.Frontend. It is one for a port and not for a listener:
connections are used for other hosts of the port as well.
"""

from typing import Final

import msgspec

from onehop.cluster.gateway import ClientValidation, GatewayTls
from onehop.cluster.gateway_ref import ForeignObjectRef
from onehop.cluster.gateway_verdict import Saying, Truth
from onehop.compile.gateway.backendtls import CA_KINDS, read_cas
from onehop.compile.gateway.grant import is_granted
from onehop.compile.sheet import Reader
from onehop.compile.value import is_object_name
from onehop.model.ident import ObjectRef
from onehop.model.listener import PortCheck
from onehop.model.problem import quoted

_MODES: Final = {"AllowValidOnly": True, "AllowInsecureFallback": False}
"""Whether a good certificate is required."""
_REASONS: Final = {"InvalidKind": "InvalidCACertificateKind"}
"""Where the word for a listener is another one than for a policy (ListenerConditionReason)."""


class Frontend(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What comes of the demand on the clients of a port.

    Attributes:
        check: None if nothing is asked, or nobody can be let in.
        cas: what has to be read for it.
        fault: why nobody is let in, or None.
        unresolved: what is wrong with a reference, or None.
    """

    check: PortCheck | None = None
    cas: tuple[ObjectRef, ...] = ()
    fault: Saying | None = None
    unresolved: Saying | None = None

    def told_to_others(self, port: int) -> "Frontend":
        """Return it in words that do not say what the Gateway refers to.

        ListenerSets may be strangers': "Implementations SHOULD be cautious about what information
        from the parent or siblings are reported" (GEP-1713). The Gateway is told in full.
        """
        message = (
            f"the Gateway cannot verify the certificates that clients of port {port} have to show;"
            " its owner is told why"
        )
        return msgspec.structs.replace(
            self,
            fault=_in_words(self.fault, message),
            unresolved=_in_words(self.unresolved, message),
        )


UNASKED: Final = Frontend()


def read_frontend(
    reader: Reader, gateway: ObjectRef, port: int, tls: GatewayTls | None
) -> Frontend:
    """Return what the clients of HTTPS on a port have to show.

    "Once set this configuration overrides the default configuration for all Listeners handling
    HTTPS traffic that match this port" (FrontendTLSConfig.PerPort).
    """
    frontend = tls.frontend if tls is not None else None
    if frontend is None:
        return UNASKED
    asked = {each.port: each.tls for each in frontend.per_port}.get(port, frontend.default)
    return _read(reader, gateway, asked.validation) if asked.validation is not None else UNASKED


def _read(reader: Reader, gateway: ObjectRef, validation: ClientValidation) -> Frontend:
    """Return the check, or why nobody is let in.

    "If ALL CACertificateRefs are invalid, the implementation MUST also ensure the `Accepted`
    Condition on the affected HTTPS listeners is set to `status: False`, with Reason
    `NoValidCACertificate`" (FrontendTLSValidation.CACertificateRefs).
    """
    refs = [_ca(gateway, ref) for ref in validation.ca_certificate_refs]
    denied = [ref for ref in refs if _is_denied(reader, gateway, ref)]
    bundle = read_cas(reader, tuple(ref for ref in refs if ref not in denied))
    unresolved: Saying | None = None
    if denied:
        message = f"no ReferenceGrant in its namespace lets this Gateway refer to {denied[0]}"
        unresolved = Saying("ResolvedRefs", Truth.FALSE, "RefNotPermitted", message)
    elif bundle.reason:
        reason = _REASONS.get(bundle.reason, bundle.reason)
        unresolved = Saying("ResolvedRefs", Truth.FALSE, reason, bundle.message)
    if validation.mode not in _MODES:
        message = f"tls.frontend: mode {quoted(validation.mode)} is not known here"
        fault = Saying("Accepted", Truth.FALSE, "UnsupportedValue", message)
        return Frontend(cas=bundle.refs, fault=fault, unresolved=unresolved)
    if bundle.pem is None:
        why = unresolved.message if unresolved else "caCertificateRefs is empty"
        message = f"clients cannot be verified, so nobody is let in: {why}"
        fault = Saying("Accepted", Truth.FALSE, "NoValidCACertificate", message)
        return Frontend(cas=bundle.refs, fault=fault, unresolved=unresolved)
    check = PortCheck(ca_pem=bundle.pem, is_required=_MODES[validation.mode])
    return Frontend(check=check, cas=bundle.refs, unresolved=unresolved)


def _in_words(saying: Saying | None, message: str) -> Saying | None:
    return msgspec.structs.replace(saying, message=message) if saying is not None else None


def _is_denied(reader: Reader, gateway: ObjectRef, ref: ObjectRef | str) -> bool:
    return isinstance(ref, ObjectRef) and not is_granted(reader, gateway, ref)


def _ca(gateway: ObjectRef, ref: ForeignObjectRef) -> ObjectRef | str:
    namespace = ref.namespace or gateway.namespace
    is_known = ref.group == "" and ref.kind in CA_KINDS
    if not (is_known and is_object_name(ref.name) and is_object_name(namespace)):
        return f"{quoted(ref.kind)} {quoted(ref.name)} is no ConfigMap, nor a Secret"
    return ObjectRef(ref.kind, namespace, ref.name)

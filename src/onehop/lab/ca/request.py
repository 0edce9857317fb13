"""Signing requests: whose key, for which hosts (RFC 8555, sections 7.4 and 11.1)."""

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID
from josepy.b64 import b64decode
from josepy.jwk import JWK, JWKEC, JWKRSA

from onehop.lab.ca.refusal import Refused


class Request(msgspec.Struct, frozen=True):
    """What is taken over from a signing request: nothing else of it is."""

    names: tuple[x509.GeneralName, ...]
    key: CertificatePublicKeyTypes


def read_request(csr: str, hosts: tuple[str, ...], *, account_key: JWK) -> Request:
    """Check a signing request against its order.

    Args:
        csr: DER in base64url.
        hosts: of the order, sorted: the request names just these, as DNS names.
        account_key: which a certificate may not have.
    """
    try:
        request = x509.load_der_x509_csr(b64decode(csr))
        key, is_proven = request.public_key(), request.is_signature_valid
        names, common = _names(request), request.subject
    except (ValueError, TypeError, x509.DuplicateExtension) as err:
        raise _bad(f"it cannot be read: {err}") from err
    if not is_proven:
        raise _bad("it is not signed by its own key")
    _check_key(key, account_key)
    asked = {str(name.value).lower() for name in names} | {
        str(each.value).lower() for each in common.get_attributes_for_oid(NameOID.COMMON_NAME)
    }
    others = [name for name in names if not isinstance(name, x509.DNSName)]
    if asked != set(hosts) or others:
        wanted, found = ", ".join(hosts), ", ".join(sorted(asked)) or "nothing"
        raise _bad(f"it asks for {found}, the order is for {wanted}")
    return Request(tuple(x509.DNSName(host) for host in hosts), key)


def _names(request: x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.value)


def _check_key(key: CertificatePublicKeyTypes, account_key: JWK) -> None:
    """Refuse weak keys, and the account's own (section 11.1): what it signs could be replayed."""
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1() | ec.SECP384R1()):
            is_accounts = JWKEC(key=key) == account_key
        case rsa.RSAPublicKey(key_size=2048 | 3072 | 4096):
            is_accounts = JWKRSA(key=key) == account_key
        case _:
            raise _bad("its key is not P-256, P-384, or RSA of 2048, 3072 or 4096 bits")
    if is_accounts:
        raise _bad("its key is the account's")


def _bad(why: str) -> Refused:
    return Refused("badCSR", f"the signing request: {why}")

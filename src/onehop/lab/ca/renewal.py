"""When a certificate had best be renewed, and what replaces what (RFC 9773)."""

from http import HTTPStatus

from cryptography import x509

from onehop.acme.key import base64url
from onehop.lab.ca.book import Issued
from onehop.lab.ca.ca import Ca
from onehop.lab.ca.call import Call, Reply, stamp
from onehop.lab.ca.refusal import Refused, malformed, missing


def renewal_info(ca: Ca, call: Call) -> Reply:
    """Return a certificate's window (section 4.2); anybody may ask."""
    issued = ca.book.issued.get(call.parts["id"])
    if issued is None:
        raise missing("certificate")
    opens, closes = ca.window(issued.id)
    window = {"start": stamp(opens), "end": stamp(closes)}
    return Reply(
        {"suggestedWindow": window}, headers={"Retry-After": f"{ca.options.ask_again_s:.0f}"}
    )


def replaced(ca: Ca, certificate: str, hosts: tuple[str, ...], account: str) -> Issued:
    """Return the certificate that an order replaces (section 5), if it may."""
    issued = ca.book.issued.get(certificate)
    if issued is None or issued.account != account:
        raise malformed("replaces: this account has no such certificate")
    names = issued.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if not set(hosts) & set(names.get_values_for_type(x509.DNSName)):
        raise malformed("replaces: the certificate shares no host with this order")
    successor = ca.book.orders.get(issued.successor or "")
    if successor is not None and successor.certificate is not None:
        detail = "this certificate was replaced already"
        raise Refused("alreadyReplaced", detail, status=HTTPStatus.CONFLICT)
    return issued


def certificate_id(leaf: x509.Certificate) -> str:
    """Return what a certificate is known by (section 4.1): its signer's key, and its serial."""
    signer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    serial = leaf.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{base64url(signer.key_identifier or b'')}.{base64url(octets)}"

"""TLS towards clients and towards endpoints.

Which certificate a client gets is decided when it says which name it wants: Envoy's on-demand
selector asks for a Secret of that name (SDS), and `secrets` answers from the ServerName rows. So a
new host or certificate never touches a listener, and no connection is dropped for it. xds-protos
1.85 has no class for the selector's configuration, which therefore travels as a TypedStruct.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from onehop.driver.envoy.proto import (
    ADS,
    DownstreamTlsContext,
    ProxyProtocolUpstreamTransport,
    QuicDownstreamTransport,
    RawBuffer,
    Secret,
    TypedStruct,
    UpstreamTlsContext,
    extension,
    wrapped,
)
from onehop.model.certificate import REDACTED, Certificate
from onehop.model.listener import ClientCheck, PortCheck, TlsPolicy
from onehop.model.pool import AltName, BackendProtocol, BackendTls, Pool

ALPN: Final = ("h2", "http/1.1")
ACME_TLS: Final = "acme-tls/1"  # RFC 8737, section 6.2

# Mozilla's server-side TLS guidelines, version 6.0
# (https://ssl-config.mozilla.org/guidelines/6.0.json). The cipher suites of TLS 1.3 are not listed:
# BoringSSL has the three that the guidelines name, and lets nobody choose.
_MODERN: Final = {
    "tls_minimum_protocol_version": "TLSv1_3",
    "tls_maximum_protocol_version": "TLSv1_3",
    "ecdh_curves": ["X25519MLKEM768", "X25519", "P-256", "P-384"],
}
_INTERMEDIATE: Final = {
    **_MODERN,
    "tls_minimum_protocol_version": "TLSv1_2",
    "cipher_suites": [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ],
}
_PARAMS: Final = {TlsPolicy.MODERN: _MODERN, TlsPolicy.INTERMEDIATE: _INTERMEDIATE}
SYSTEM_CAS: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its kin keep what they trust (update-ca-certificates(8))."""
AnyCheck: TypeAlias = ClientCheck | PortCheck
"""What clients of a chain have to show."""

_PREFIX: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls"


def on_demand_socket(
    no_sni_name: str,
    policy: TlsPolicy,
    check: AnyCheck | None = None,
    *,
    alpn: tuple[str, ...] = ALPN,
) -> dict[str, Any]:
    """Return the transport socket that asks for the certificate of each name when it is wanted.

    Args:
        no_sni_name: the Secret for clients that send no name.
        policy: with which clients TLS is spoken.
        check: what clients have to show.
        alpn: the protocols that are spoken inside; none where nobody here knows.
    """
    selector = TypedStruct(
        type_url=f"{_PREFIX}.cert_selectors.on_demand_secret.v3.Config",
        value={
            "config_source": ADS,
            "certificate_mapper": {
                "name": "envoy.tls.certificate_mappers.sni",
                "typed_config": {
                    "@type": f"{_PREFIX}.cert_mappers.sni.v3.SNI",
                    "default_value": no_sni_name,
                },
            },
        },
    )
    name = "envoy.tls.certificate_selectors.on_demand_secret"
    return _downstream(
        policy,
        check,
        {"custom_tls_certificate_selector": extension(name, selector)},
        alpn=alpn,
        # Demanded by Envoy: "On demand certificates are not integrated with session resumption
        # support." A client that comes back makes a full handshake.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )


def secret_socket(
    secret: str,
    policy: TlsPolicy,
    check: AnyCheck | None = None,
    *,
    alpn: tuple[str, ...] = ALPN,
) -> dict[str, Any]:
    """Return the transport socket that shows one certificate, whatever name is asked for."""
    return _downstream(policy, check, shown_by_name(secret), alpn=alpn)


def shown_by_name(secret: str) -> dict[str, Any]:
    """Return what asks for one Secret."""
    return {"tls_certificate_sds_secret_configs": [{"name": secret, "sds_config": ADS}]}


def shown_inline(certificate: Certificate, *, redact: bool) -> dict[str, Any]:
    """Return what holds a certificate itself."""
    return {"tls_certificates": [certificate_pair(certificate, redact=redact)]}


def quic_socket(certificates: dict[str, Any]) -> dict[str, Any]:
    """Return the transport socket of HTTP/3, which speaks TLS 1.3 alone (RFC 9001, section 4.2).

    Args:
        certificates: what is shown, as `shown_by_name` or `shown_inline` return it.
    """
    context = _context(TlsPolicy.MODERN, None, certificates, alpn=("h3",))
    return extension(
        "envoy.transport_sockets.quic", QuicDownstreamTransport(downstream_tls_context=context)
    )


def inline_socket(
    certificate: Certificate,
    policy: TlsPolicy,
    check: AnyCheck | None = None,
    *,
    redact: bool,
    alpn: tuple[str, ...] = ALPN,
) -> dict[str, Any]:
    """Return the transport socket with the certificate itself, for a static configuration."""
    return _downstream(policy, check, shown_inline(certificate, redact=redact), alpn=alpn)


def challenge_socket(certificates: Iterable[Certificate], *, redact: bool) -> dict[str, Any]:
    """Return the transport socket that shows a CA the certificate for the name it asks for.

    The certificates are inside: a listener that had to ask for them would be taken, and answered
    for, before it can show them. TLS 1.2 will do, whatever the policy (RFC 8737, section 4).
    """
    pairs = [certificate_pair(each, redact=redact) for each in certificates]
    return _downstream(TlsPolicy.INTERMEDIATE, None, {"tls_certificates": pairs}, alpn=(ACME_TLS,))


def render_secret(name: str, certificate: Certificate) -> Any:
    """Return the Secret that carries a certificate under a name of Envoy's choice."""
    return Secret(name=name, tls_certificate=certificate_pair(certificate, redact=False))


def certificate_pair(certificate: Certificate, *, redact: bool) -> dict[str, Any]:
    """Return a TlsCertificate; a redacted one shows the fingerprint in place of the rest."""
    chain = certificate.fingerprint if redact else certificate.chain_pem
    key = REDACTED if redact else certificate.key_pem.reveal
    pair: dict[str, Any] = {
        "certificate_chain": {"inline_string": chain},
        "private_key": {"inline_string": key},
    }
    if certificate.ocsp is not None and not redact:
        pair["ocsp_staple"] = {"inline_bytes": certificate.ocsp}
    return pair


def upstream_socket(pool: Pool, shown: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the transport socket towards a pool's endpoints, or None for plain TCP.

    `shown` holds the certificate that endpoints are shown; without, it is asked for by its name.
    """
    socket = _upstream_tls(pool, pool.tls, shown) if pool.tls is not None else None
    if pool.proxy_protocol is None:
        return socket
    inner = socket or extension("envoy.transport_sockets.raw_buffer", RawBuffer())
    return extension(
        "envoy.transport_sockets.upstream_proxy_protocol",
        ProxyProtocolUpstreamTransport(
            config={"version": pool.proxy_protocol.name}, transport_socket=inner
        ),
    )


def _upstream_tls(pool: Pool, tls: BackendTls, shown: dict[str, Any] | None) -> dict[str, Any]:
    speaks_h2 = pool.protocol in {BackendProtocol.H2, BackendProtocol.GRPC}
    common: dict[str, Any] = {"alpn_protocols": ["h2"] if speaks_h2 else []}
    if tls.is_verified:
        common["validation_context"] = _verification(tls)
    if tls.client is not None:
        common |= shown_by_name(f"={tls.client}") if shown is None else shown
    context = UpstreamTlsContext(sni=tls.server_name or "", common_tls_context=common)
    return extension("envoy.transport_sockets.tls", context)


def _verification(tls: BackendTls) -> dict[str, Any]:
    ca: dict[str, Any] = {"filename": SYSTEM_CAS}
    if tls.ca_pem is not None:
        ca = {"inline_string": tls.ca_pem}
    names = tls.names or ((AltName(tls.server_name),) if tls.server_name is not None else ())
    matchers = [_name_matcher(name) for name in names]
    return {"trusted_ca": ca, **({"match_typed_subject_alt_names": matchers} if matchers else {})}


def _name_matcher(name: AltName) -> dict[str, Any]:
    if name.is_uri:
        return {"san_type": "URI", "matcher": {"exact": name.text}}
    if name.text.startswith("*."):
        return {"san_type": "DNS", "matcher": {"suffix": name.text.removeprefix("*")}}
    return {"san_type": "DNS", "matcher": {"exact": name.text}}


def _downstream(
    policy: TlsPolicy,
    check: AnyCheck | None,
    certificates: dict[str, Any],
    *,
    alpn: tuple[str, ...] = ALPN,
    **resumption: bool,
) -> dict[str, Any]:
    context = _context(policy, check, certificates, alpn=alpn, **resumption)
    return extension("envoy.transport_sockets.tls", context)


def _context(
    policy: TlsPolicy,
    check: AnyCheck | None,
    certificates: dict[str, Any],
    *,
    alpn: tuple[str, ...],
    **resumption: bool,
) -> Any:
    validation: dict[str, Any] = {}
    if check is not None:
        held: dict[str, Any] = {"trusted_ca": {"inline_string": check.ca_pem}}
        if isinstance(check, PortCheck) and not check.is_required:
            held["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
        validation["validation_context"] = held
    return DownstreamTlsContext(
        common_tls_context={
            "tls_params": _PARAMS[policy],
            "alpn_protocols": alpn,
            **certificates,
            **validation,
        },
        require_client_certificate=wrapped(check.is_required) if check else None,
        # All suites are good, and the client knows which of them its processor is fast at: the
        # guidelines leave the choice to it.
        prefer_client_ciphers=True,
        **resumption,
    )

"""TLS towards clients and towards endpoints.

Which certificate a client gets is decided when it says which name it wants: Envoy's on-demand
selector asks for a Secret of that name (SDS), and `secrets` answers from the ServerName rows. So a
new host or certificate never touches a listener, and no connection is dropped for it. xds-protos
1.85 has no class for the selector's configuration, which therefore travels as a TypedStruct.
"""

from typing import Any, Final

from onehop.driver.envoy.proto import (
    ADS,
    DownstreamTlsContext,
    ProxyProtocolUpstreamTransport,
    RawBuffer,
    Secret,
    TypedStruct,
    UpstreamTlsContext,
    extension,
)
from onehop.model.certificate import REDACTED, Certificate
from onehop.model.pool import BackendProtocol, Pool

ALPN: Final = ("h2", "http/1.1")

_TLS_PARAMS: Final = {
    "tls_minimum_protocol_version": "TLSv1_2",
    "tls_maximum_protocol_version": "TLSv1_3",
    # Mozilla's "intermediate" without DHE, which BoringSSL does not have; TLS 1.3 needs no list.
    "cipher_suites": [
        "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
        "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
    ],
}
_PREFIX: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls"


def on_demand_socket(no_sni_name: str) -> dict[str, Any]:
    """Return the transport socket that asks for the certificate of each name when it is wanted.

    Args:
        no_sni_name: the Secret for clients that send no name.
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
        {"custom_tls_certificate_selector": extension(name, selector)},
        # Demanded by Envoy: "On demand certificates are not integrated with session resumption
        # support." A client that comes back makes a full handshake.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )


def secret_socket(secret: str) -> dict[str, Any]:
    """Return the transport socket that shows one certificate, whatever name is asked for."""
    config = {"name": secret, "sds_config": ADS}
    return _downstream({"tls_certificate_sds_secret_configs": [config]})


def inline_socket(certificate: Certificate, *, redact: bool) -> dict[str, Any]:
    """Return the transport socket with the certificate itself, for a static configuration."""
    return _downstream({"tls_certificates": [certificate_pair(certificate, redact=redact)]})


def render_secret(name: str, certificate: Certificate) -> Any:
    """Return the Secret that carries a certificate under a name of Envoy's choice."""
    return Secret(name=name, tls_certificate=certificate_pair(certificate, redact=False))


def certificate_pair(certificate: Certificate, *, redact: bool) -> dict[str, Any]:
    """Return a TlsCertificate; a redacted one shows the fingerprint in place of the rest."""
    chain = certificate.fingerprint if redact else certificate.chain_pem
    key = REDACTED if redact else certificate.key_pem.reveal
    return {
        "certificate_chain": {"inline_string": chain},
        "private_key": {"inline_string": key},
    }


def upstream_socket(pool: Pool) -> dict[str, Any] | None:
    """Return the transport socket towards a pool's endpoints, or None for plain TCP."""
    socket = _upstream_tls(pool) if pool.tls is not None else None
    if pool.proxy_protocol is None:
        return socket
    inner = socket or extension("envoy.transport_sockets.raw_buffer", RawBuffer())
    return extension(
        "envoy.transport_sockets.upstream_proxy_protocol",
        ProxyProtocolUpstreamTransport(
            config={"version": pool.proxy_protocol.name}, transport_socket=inner
        ),
    )


def _upstream_tls(pool: Pool) -> dict[str, Any]:
    assert pool.tls is not None  # noqa: S101  the caller asked
    speaks_h2 = pool.protocol in {BackendProtocol.H2, BackendProtocol.GRPC}
    common: dict[str, Any] = {"alpn_protocols": ["h2"] if speaks_h2 else []}
    if pool.tls.ca_pem is not None:
        validation: dict[str, Any] = {"trusted_ca": {"inline_string": pool.tls.ca_pem}}
        if pool.tls.server_name is not None:
            validation["match_typed_subject_alt_names"] = [
                {"san_type": "DNS", "matcher": {"exact": pool.tls.server_name}}
            ]
        common["validation_context"] = validation
    context = UpstreamTlsContext(sni=pool.tls.server_name or "", common_tls_context=common)
    return extension("envoy.transport_sockets.tls", context)


def _downstream(certificates: dict[str, Any], **resumption: bool) -> dict[str, Any]:
    context = DownstreamTlsContext(
        common_tls_context={
            "tls_params": _TLS_PARAMS,
            "alpn_protocols": ALPN,
            **certificates,
        },
        **resumption,
    )
    return extension("envoy.transport_sockets.tls", context)

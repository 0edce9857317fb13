"""BackendTLSPolicies (gateway.networking.k8s.io/v1, GEP-1897): TLS towards a Service's Pods."""

from collections.abc import Mapping

import msgspec

from onehop.cluster.gateway_ref import LocalObjectRef
from onehop.cluster.gateway_status import PolicyStatus
from onehop.cluster.meta import NOTHING, Meta


class PolicyTarget(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a policy is about, in its own namespace.

    Attributes:
        section_name: of a Service, the name of a port; None means all of them.
    """

    group: str
    kind: str
    name: str
    section_name: str | None = None


class SubjectAltName(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A name that the backend's certificate may be for: `Hostname` or `URI`."""

    type: str
    hostname: str | None = None
    uri: str | None = None


class BackendValidation(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    rename={
        "ca_certificate_refs": "caCertificateRefs",
        "well_known_ca_certificates": "wellKnownCACertificates",
        "subject_alt_names": "subjectAltNames",
    },
):
    """How a backend proves who it is (`BackendTLSPolicyValidation`).

    Attributes:
        hostname: the server name of the handshake, and what the certificate has to be for, unless
            there are `subject_alt_names`.
        well_known_ca_certificates: `System`; either this or `ca_certificate_refs`.
    """

    hostname: str
    ca_certificate_refs: tuple[LocalObjectRef, ...] = ()
    well_known_ca_certificates: str | None = None
    subject_alt_names: tuple[SubjectAltName, ...] = ()


class BackendTlsPolicySpec(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """What a BackendTLSPolicy asks for."""

    target_refs: tuple[PolicyTarget, ...]
    validation: BackendValidation
    options: Mapping[str, str] = NOTHING


class BackendTLSPolicy(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A BackendTLSPolicy."""

    metadata: Meta
    spec: BackendTlsPolicySpec
    status: PolicyStatus = PolicyStatus()

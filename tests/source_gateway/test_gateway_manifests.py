"""Gateway API's kinds in a folder of manifests: the same objects, and the same care for slips."""

import copy
from pathlib import Path

import pytest

from onehop.cluster import GATEWAY_KINDS, Kind, ref_of
from onehop.model.problem import Severity
from onehop.source.manifests_decode import Fault, decode_document
from onehop.source.manifests_folder import load_manifests
from tests.cluster_gateway.objects import BY_KIND, EVERYTHING, Json, decoded

EXAMPLE = Path(__file__).parents[1] / "cluster_gateway" / "everything.yaml"


def test_every_kind_is_read_from_a_file_without_a_complaint() -> None:
    """All ten kinds, with every field that there is."""
    objects, problems = load_manifests(EXAMPLE)

    assert problems == ()
    assert [ref_of(item) for item in objects] == [
        ref_of(decoded(manifest)) for manifest in EVERYTHING
    ]


@pytest.mark.parametrize("kind", sorted(GATEWAY_KINDS))
def test_older_versions_with_the_same_fields_are_taken(kind: Kind) -> None:
    """As the API would take them, which serves them beside the newest."""
    resource = GATEWAY_KINDS[kind]
    for version in (resource.api_version, *resource.older):
        (item,) = decode_document({**BY_KIND[kind], "apiVersion": version})

        assert not isinstance(item, Fault)
        assert ref_of(item) == ref_of(decoded(BY_KIND[kind]))

    (fault,) = decode_document(
        {**BY_KIND[kind], "apiVersion": "gateway.networking.k8s.io/v1alpha1"}
    )
    assert isinstance(fault, Fault)
    assert fault.message.endswith("is not served; write 'gateway.networking.k8s.io/v1'")


@pytest.mark.parametrize(
    ("kind", "path", "slip", "meant"),
    [
        ("HTTPRoute", ("rules", 0), "backendRef", "backendRefs"),
        ("HTTPRoute", ("rules", 0, "timeouts"), "backendRequests", "backendRequest"),
        ("HTTPRoute", ("rules", 0, "filters", 0), "requestheadermodifier", "requestHeaderModifier"),
        ("HTTPRoute", ("parentRefs", 0), "sectionname", "sectionName"),
        ("Gateway", ("listeners", 0), "hostName", "hostname"),
        ("Gateway", ("listeners", 0, "tls"), "certificateRef", "certificateRefs"),
        ("ReferenceGrant", ("from", 0), "nameSpace", "namespace"),
        ("BackendTLSPolicy", ("validation",), "caCertificateRef", "caCertificateRefs"),
    ],
)
def test_a_slip_in_a_field_is_told(
    kind: str, path: tuple[str | int, ...], slip: str, meant: str
) -> None:
    """`fieldValidation: Warn`, as for the kinds that every cluster has."""
    manifest = copy.deepcopy(BY_KIND[kind])
    place = manifest["spec"]
    for step in path:
        place = place[step]
    place[slip] = place.pop(meant, "x")

    warnings = [
        each
        for each in decode_document(manifest)
        if isinstance(each, Fault) and each.severity is Severity.WARNING
    ]

    assert [(fault.path, fault.message) for fault in warnings] == [
        (("spec", *path, slip), f"unknown field; did you mean {meant!r}?")
    ]


@pytest.mark.parametrize(
    ("kind", "meant"), [("HttpRoute", "HTTPRoute"), ("Gatway", "Gateway"), ("TcpRoute", "TCPRoute")]
)
def test_a_slip_in_a_kind_is_told(kind: str, meant: str) -> None:
    """Nobody serves such a kind."""
    (fault,) = decode_document({**BY_KIND["HTTPRoute"], "kind": kind})

    assert isinstance(fault, Fault)
    assert fault.message == f"unknown kind {kind!r}; did you mean {meant!r}?"


@pytest.mark.parametrize("field", ["defaultScope", "useDefaultGateways", "externalAuth"])
@pytest.mark.parametrize("manifest", EVERYTHING, ids=lambda each: each["kind"])
def test_fields_of_other_channels_are_no_slips(manifest: Json, field: str) -> None:
    """Experimental fields that we do not read are the API's all the same."""
    changed = copy.deepcopy(manifest)
    changed["spec"][field] = "x"
    for rule in changed["spec"].get("rules", ()):
        rule[field] = "x"

    assert not [each for each in decode_document(changed) if isinstance(each, Fault)]

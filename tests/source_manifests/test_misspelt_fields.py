"""Which unknown fields are taken for slips, and that the API's own are not."""

import kubernetes.client as api
import pytest

from onehop.cluster import KINDS, Kind
from onehop.source.manifests_typo import Misspelt, misspelt_keys

STRUCTURES: dict[Kind, dict[tuple[str | int, ...], type]] = {
    Kind.SERVICE: {
        (): api.V1Service,
        ("metadata",): api.V1ObjectMeta,
        ("spec",): api.V1ServiceSpec,
        ("spec", "ports", 0): api.V1ServicePort,
        ("status",): api.V1ServiceStatus,
    },
    Kind.ENDPOINT_SLICE: {
        (): api.V1EndpointSlice,
        ("metadata",): api.V1ObjectMeta,
        ("endpoints", 0): api.V1Endpoint,
        ("endpoints", 0, "conditions"): api.V1EndpointConditions,
        ("ports", 0): api.DiscoveryV1EndpointPort,
    },
    Kind.NODE: {
        (): api.V1Node,
        ("spec",): api.V1NodeSpec,
        ("spec", "taints", 0): api.V1Taint,
        ("status",): api.V1NodeStatus,
    },
    Kind.NAMESPACE: {(): api.V1Namespace},
    Kind.INGRESS: {
        (): api.V1Ingress,
        ("spec",): api.V1IngressSpec,
        ("spec", "rules", 0): api.V1IngressRule,
        ("spec", "rules", 0, "http"): api.V1HTTPIngressRuleValue,
        ("spec", "rules", 0, "http", "paths", 0): api.V1HTTPIngressPath,
        ("spec", "tls", 0): api.V1IngressTLS,
        ("spec", "defaultBackend"): api.V1IngressBackend,
        ("spec", "defaultBackend", "service"): api.V1IngressServiceBackend,
    },
    Kind.INGRESS_CLASS: {(): api.V1IngressClass, ("spec",): api.V1IngressClassSpec},
    Kind.SECRET: {(): api.V1Secret},
}

FIELDS = [
    pytest.param(kind, path, field, id=f"{kind}-{field}")
    for kind, structures in STRUCTURES.items()
    for path, structure in structures.items()
    for field in sorted(set(vars(structure)["attribute_map"].values()))
]


@pytest.mark.parametrize(("kind", "path", "field"), FIELDS)
def test_no_field_of_the_api_counts_as_a_slip(
    kind: Kind, path: tuple[str | int, ...], field: str
) -> None:
    """Each field of the official client's models, alone in its object, gets no warning."""
    value: object = {field: None}
    for step in reversed(path):
        value = [value] if isinstance(step, int) else {step: value}

    assert list(misspelt_keys(value, KINDS[kind].struct)) == []


def test_a_slip_is_found_at_any_depth() -> None:
    """Lists, optional structs and case are all looked through."""
    raw = {"spec": {"ports": [{"port": 80}, {"nodeport": 1}], "loadBalancerClas": "x"}}

    assert list(misspelt_keys(raw, KINDS[Kind.SERVICE].struct)) == [
        Misspelt(("spec", "ports", 1, "nodeport"), "nodePort"),
        Misspelt(("spec", "loadBalancerClas"), "loadBalancerClass"),
    ]


def test_a_field_beside_the_one_it_resembles_is_no_slip() -> None:
    """Where the known field is present, its neighbour is somebody's extension."""
    assert (
        list(misspelt_keys({"spec": {"type": "x", "types": 1}}, KINDS[Kind.SERVICE].struct)) == []
    )

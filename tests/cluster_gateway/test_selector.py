"""Label selectors: which namespaces a Gateway lets in."""

import msgspec
import pytest

from onehop.cluster.gateway_selector import LabelSelector


def expression(operator: str, *values: str) -> dict[str, object]:
    """Return a selector of one demand on the label `a`."""
    return {"matchExpressions": [{"key": "a", "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "labels", "is_admitted"),
    [
        ({}, None, True),
        ({}, {"a": "1"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchLabels": {"a": "1"}}, None, False),
        (expression("In", "1", "2"), {"a": "2"}, True),
        (expression("In", "1"), {}, False),
        (expression("NotIn", "1"), {}, True),
        (expression("NotIn", "1"), {"a": "1"}, False),
        (expression("Exists"), {"a": ""}, True),
        (expression("Exists"), {"b": ""}, False),
        (expression("DoesNotExist"), {"b": ""}, True),
        (expression("DoesNotExist"), {"a": ""}, False),
        (expression("Like", "1"), {"a": "1"}, False),
        (
            {"matchLabels": {"b": "1"}, **expression("Exists")},
            {"a": "1"},
            False,
        ),
    ],
)
def test_a_selector_admits_what_meets_all_its_demands(
    selector: dict[str, object], labels: dict[str, str] | None, *, is_admitted: bool
) -> None:
    """meta/v1 LabelSelector: all at once; an operator nobody knows lets nobody in."""
    assert msgspec.convert(selector, LabelSelector).admits(labels) is is_admitted

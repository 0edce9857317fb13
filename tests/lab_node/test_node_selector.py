"""Calico's selectors."""

import pytest

from onehop.base.errors import ConfigError
from onehop.lab.node.selector import matches

LABELS = {"rack": "a", "kubernetes.io/hostname": "node1"}


@pytest.mark.parametrize(
    ("selector", "is_match"),
    [
        ("all()", True),
        ("!all()", False),
        ("has(rack)", True),
        ("has(rank)", False),
        ("rack == 'a'", True),
        ('rack != "a"', False),
        ("kubernetes.io/hostname == 'node1'", True),
        ("rank != 'a'", True),
        ("rack in {'a', 'b'}", True),
        ("rack not in {'a', 'b'}", False),
        ("rack == 'b' || has(rack) && !has(rank)", True),
        ("(rack == 'b' || has(rack)) && has(rank)", False),
    ],
)
def test_a_selector_selects(selector: str, is_match: bool) -> None:  # noqa: FBT001  the answer
    """With the precedence of &&, and with labels that are not there."""
    assert matches(selector, LABELS) is is_match


@pytest.mark.parametrize("selector", ["", "rack", "rack ==", "rack == a", "all() x", "§", "(all()"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    """With a message, never with another exception."""
    with pytest.raises(ConfigError):
        matches(selector, LABELS)

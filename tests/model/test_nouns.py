"""What the nouns say of themselves."""

from onehop.model.certificate import SecretText
from onehop.model.ident import ObjectRef
from onehop.model.problem import Problem, Reason, quoted


def test_secret_text_never_renders() -> None:
    """Whatever a key ends up in, a log line or an f-string, it stays unseen."""
    secret = SecretText("hush")

    assert "hush" not in f"{secret} {secret!r} {[secret]} {secret!s}"
    assert secret.reveal == "hush"


def test_references_read_as_kubectl_writes_them() -> None:
    """Kind, namespace and name; objects of no namespace go without."""
    assert str(ObjectRef("Service", "shop", "web")) == "Service/shop/web"
    assert str(ObjectRef("Node", "", "n1")) == "Node/n1"


def test_a_problem_reads_as_a_sentence_with_its_place() -> None:
    """Where, why as one word, and what to do."""
    node = ObjectRef("Node", "", "n1")
    problem = Problem(subject=node, reason=Reason.UNSUPPORTED, message="no such thing")

    assert str(problem) == "Node/n1: Unsupported: no such thing"
    in_field = Problem(subject=node, field="spec", reason=Reason.CONFLICT, message="two")
    assert str(in_field) == "Node/n1 spec: Conflict: two"


def test_quoted_text_is_short_and_printable() -> None:
    """Somebody else's text in a message can neither flood nor forge a log."""
    assert quoted("a\nb\x1b[2J\u202e") == "'a\\nb\\x1b[2J\\u202e'"
    assert quoted("x" * 65536) == "'" + "x" * 80 + "...'"

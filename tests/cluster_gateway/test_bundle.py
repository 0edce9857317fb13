"""Which releases of Gateway API are known, and what a class says of them."""

import pytest

from onehop.cluster.definition import (
    BUNDLE_VERSION,
    GATEWAY_CLASS_DEFINITION,
    CustomResourceDefinition,
)
from onehop.cluster.gateway_verdict import GatewayClassVerdict
from onehop.cluster.meta import Meta
from onehop.compile.compiler import Compiler
from onehop.compile.options import Options
from onehop.model.ident import ObjectRef
from tests.cluster_gateway.objects import BY_KIND, decoded

CLASS = ObjectRef("GatewayClass", "", "onehop")


def said_of(compiler: Compiler) -> dict[str, tuple[str, str]]:
    """Return status and reason of what the class says."""
    compiler.settle()
    verdict = compiler.verdict(CLASS)
    assert isinstance(verdict, GatewayClassVerdict)
    return {each.type: (each.status.value, each.reason) for each in verdict.sayings}


def compiler_with_class() -> Compiler:
    """Return a compiler that has a class of ours and knows nothing of definitions."""
    manifest = BY_KIND["GatewayClass"] | {
        "spec": {"controllerName": "onehop.dev/gateway-controller"}
    }
    compiler = Compiler(Options())
    compiler.put(decoded(manifest))
    return compiler


def definition(version: str | None) -> CustomResourceDefinition:
    """Return the definition of classes of a release."""
    annotations = {BUNDLE_VERSION: version} if version is not None else {}
    return CustomResourceDefinition(
        Meta(name=GATEWAY_CLASS_DEFINITION.name, annotations=annotations)
    )


@pytest.mark.parametrize(
    ("version", "is_known"),
    [
        ("v1.6.1", True),
        ("v1.6.0-rc.1", True),
        ("v1.0.0", True),
        ("v1.3.0", True),
        ("v1.7.0", False),
        ("v2.0.0", False),
        ("v0.8.1", False),
        ("v0.0.0", False),
        ("v0.0.0-dev", False),
        ("", False),
        ("1.6.1", False),
        ("v1.6", False),
        ("v1.6.1 and more", False),
        (None, False),
    ],
)
def test_a_class_says_whether_the_release_is_known(version: str | None, *, is_known: bool) -> None:
    """It is accepted in any case: what looks like a known release is served like one."""
    compiler = compiler_with_class()
    compiler.put(definition(version))

    reason = "SupportedVersion" if is_known else "UnsupportedVersion"
    assert said_of(compiler) == {
        "Accepted": ("True", "Accepted"),
        "SupportedVersion": (str(is_known), reason),
    }


def test_nothing_is_said_of_a_release_that_nobody_knows() -> None:
    """As of a folder without definitions, or without the right to read them."""
    compiler = compiler_with_class()
    assert said_of(compiler) == {"Accepted": ("True", "Accepted")}

    compiler.put(definition("v1.6.1"))
    assert said_of(compiler)["SupportedVersion"] == ("True", "SupportedVersion")

    compiler.remove(GATEWAY_CLASS_DEFINITION)
    assert said_of(compiler) == {"Accepted": ("True", "Accepted")}

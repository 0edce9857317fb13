"""How a Secret says whose it is.

Two marks, and both must be there: the label that every tool of the cluster understands, and an
annotation that names the installation, for two of them may share a cluster. Somebody who takes
one mark away takes the Secret from us; somebody who writes both gives it to us.
"""

from collections.abc import Mapping
from typing import Final

from onehop.cluster.meta import Meta

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENT: Final = "app.kubernetes.io/component"
"""Both: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/"""
ISSUED_BY: Final = "onehop.dev/acme-issued-by"
US: Final = "onehop"


def why_foreign(meta: Meta, installation: str) -> str:
    """Return by what an object is known to be somebody else's, as a clause; empty if it is ours.

    Args:
        meta: the object's.
        installation: who we are among several onehops of one cluster.
    """
    manager = meta.label(MANAGED_BY)
    if manager != US:
        return (
            f"its label {MANAGED_BY} says {manager}"
            if manager
            else f"it has no label {MANAGED_BY}: {US}"
        )
    issuer = meta.annotation(ISSUED_BY)
    if issuer is None:
        return f"it has no annotation {ISSUED_BY}"
    if issuer != installation:
        return f"the onehop of namespace {issuer} keeps it"
    return ""


def labels_of_ours(component: str = "") -> Mapping[str, str]:
    """Return the labels of what we create; `component` says what it is for, where it is our own."""
    return {MANAGED_BY: US} | ({COMPONENT: component} if component else {})


def annotations_of_ours(installation: str) -> Mapping[str, str]:
    """Return the annotations of what we create."""
    return {ISSUED_BY: installation}


def selector_of(component: str) -> str:
    """Return a label selector for what we created for something."""
    return ",".join(f"{key}={value}" for key, value in labels_of_ours(component).items())

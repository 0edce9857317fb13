"""ReferenceGrants: who may refer to what in another namespace.

`apis/v1/referencegrant_types.go`: "each entry in the From list describes a trusted source, each in
the To list a resource that may be referenced"; without a grant a reference across namespaces is
refused, and one that is taken back is refused from then on (GEP-709).
"""

from collections.abc import Iterator
from typing import Final

from onehop.cluster import ReferenceGrant
from onehop.cluster.gateway_ref import GROUP, SecretRef
from onehop.compile.inputs import REFERENCE_GRANTS
from onehop.compile.sheet import Index, Reader
from onehop.compile.value import is_object_name
from onehop.model.ident import ObjectRef

_Question = tuple[str, str, str, str]
"""Kind and namespace of who refers, kind and namespace of what is referred to."""


def is_granted(reader: Reader, referrer: ObjectRef, target: ObjectRef) -> bool:
    """Tell whether an object of Gateway API may refer to one of the core group."""
    if referrer.namespace == target.namespace:
        return True
    question = (referrer.kind, referrer.namespace, target.kind, target.namespace)
    return any(
        to.name in (None, "", target.name)
        for grant in reader.unordered(_GRANTS, question)
        for to in grant.spec.to
        if to.group == "" and to.kind == target.kind
    )


def secret_of(referrer: ObjectRef, ref: SecretRef) -> ObjectRef | None:
    """Return the Secret that a reference to a certificate means, or None if it means none."""
    namespace = ref.namespace or referrer.namespace
    is_secret = ref.group == "" and ref.kind == "Secret"
    if not (is_secret and is_object_name(ref.name) and is_object_name(namespace)):
        return None
    return ObjectRef("Secret", namespace, ref.name)


def _questions(_ref: ObjectRef, grant: ReferenceGrant) -> Iterator[_Question]:
    for origin in grant.spec.origins:
        for to in grant.spec.to:
            if origin.group == GROUP and to.group == "":
                yield origin.kind, origin.namespace, to.kind, grant.metadata.namespace


_GRANTS: Final = Index[ObjectRef, ReferenceGrant, _Question](
    REFERENCE_GRANTS, "question", _questions
)

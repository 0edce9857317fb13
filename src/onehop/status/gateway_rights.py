"""What reading Gateway API's objects and writing their statuses needs of the API server."""

from collections.abc import Iterable, Iterator
from typing import Final

from onehop.cluster import KINDS, Kind
from onehop.cluster.definition import GATEWAY_CLASS_DEFINITION
from onehop.cluster.gateway_ref import GROUP
from onehop.kube import Right

_WITHOUT_STATUS: Final = frozenset({Kind.REFERENCE_GRANT})
"""What nobody reports on."""


def gateway_rights(kinds: Iterable[Kind]) -> Iterator[Right]:
    """Yield the rights to read these kinds, and to write the statuses of those that have one.

    One definition is read beside them, by name: it says of which release they are.
    """
    for verb in ("get", "list", "watch"):
        yield Right(
            verb=verb,
            group="apiextensions.k8s.io",
            resource="customresourcedefinitions",
            name=GATEWAY_CLASS_DEFINITION.name,
        )
    for verb in ("get", "list", "watch"):
        yield Right(verb=verb, resource="configmaps")  # each by name: certificates of CAs
    for kind in sorted(kinds):
        plural = KINDS[kind].plural
        for verb in ("get", "list", "watch"):
            yield Right(verb=verb, group=GROUP, resource=plural)
        if kind not in _WITHOUT_STATUS:
            yield Right(verb="patch", group=GROUP, resource=plural, subresource="status")

"""What `onehop check` says of Gateway API: which release a cluster has, and what we may do with it.

Nobody has to have it, so that it is not there is no fault. A right that is missing is one only to
kinds that are there.
"""

from collections.abc import AsyncGenerator
from typing import Final

from onehop.base.errors import KubeForbidden
from onehop.cluster import KINDS, Kind
from onehop.control.finding import Finding
from onehop.control.sources import GATEWAY_API
from onehop.kube import Client, Right
from onehop.status.gateway_rights import gateway_rights

RIGHTS_FILE: Final = "deploy/rbac-gateway.yaml"
_CHECK: Final = "Gateway API"


async def gateway_findings(client: Client) -> AsyncGenerator[Finding]:
    """Yield what a cluster has of Gateway API.

    Raises:
        OnehopError: the API server does not answer.
    """
    try:
        versions = await _versions(client)
    except KubeForbidden as error:
        advice = "grant the ClusterRole system:discovery; without it no Gateway is served"
        yield Finding(check=_CHECK, is_good=False, said=str(error), advice=advice)
        return
    if not versions:
        said = "not installed; Gateways are served once it is, without a restart"
        yield Finding(check=_CHECK, is_good=True, said=said)
        return
    yield Finding(check=_CHECK, is_good=True, said=_told(versions))
    missing = [r for r in gateway_rights(versions) if not await client.can_i(r)]
    names = ", ".join(f"{each.verb} {_resource(each)}" for each in missing)
    said = f"missing: {names}" if missing else "all there"
    advice = f"kubectl apply -f {RIGHTS_FILE}" if missing else ""
    yield Finding(check="rights to Gateway API", is_good=not missing, said=said, advice=advice)


def _resource(right: Right) -> str:
    """Return what a right is to, as in a role: `gateways/status`."""
    return f"{right.resource}/{right.subresource}" if right.subresource else right.resource


async def _versions(client: Client) -> dict[Kind, str]:
    """Return the newest version of each kind that is served and that we read."""
    served: dict[str, frozenset[str]] = {}
    found: dict[Kind, str] = {}
    for kind in sorted(GATEWAY_API):
        resource = KINDS[kind]
        for version in (resource.api_version, *resource.older):
            if version not in served:
                served[version] = await client.resources(version)
            if resource.plural in served[version]:
                found[kind] = version
                break
    return found


def _told(versions: dict[Kind, str]) -> str:
    told = ", ".join(f"{kind} {version.rpartition('/')[2]}" for kind, version in versions.items())
    lacking = ", ".join(sorted(GATEWAY_API - versions.keys()))
    return f"{told}; not served by this cluster: {lacking}" if lacking else told

"""What certificates need of the API server, beyond what everything else needs."""

from onehop.kube import Right


def issuing_rights(namespace: str) -> tuple[Right, ...]:
    """Return the rights that deploy/rbac-acme.yaml grants.

    Args:
        namespace: of our own Secrets and Leases.
    """
    # Where an object names a Secret; to `get` it is everybody's right who terminates TLS.
    rights = [Right(verb=verb, resource="secrets") for verb in ("create", "patch")]
    rights += [
        Right(verb=verb, resource="secrets", namespace=namespace)
        for verb in ("get", "list", "watch", "create", "patch", "delete")
    ]
    rights += [
        Right(verb=verb, group="coordination.k8s.io", resource="leases", namespace=namespace)
        for verb in ("list", "delete")
    ]
    return tuple(rights)

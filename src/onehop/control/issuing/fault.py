"""What the engine is told when the API server does not do it: always that it may try again.

A missing right, a namespace that is not there, an admission webhook that says no: people mend such
things while we run, so to the engine all of them are `TransientError`s that say what to do.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from onehop.base.errors import (
    KubeConflict,
    KubeForbidden,
    KubeNotFound,
    RejectedError,
    TransientError,
)
from onehop.kube import Right
from onehop.status.rights import tell_right

RIGHTS_FILE: Final = "deploy/rbac-acme.yaml"


@contextmanager
def plain_faults(right: Right) -> Generator[None]:
    """Turn every fault of the API but a conflict into a TransientError.

    Args:
        right: what the request needs, for people whose role lacks it.

    Raises:
        KubeConflict: somebody wrote in between; that is for the caller to look at.
    """
    try:
        yield
    except KubeConflict:
        raise
    except KubeForbidden as err:
        missing = f"{tell_right(right)} in namespace {right.namespace}"
        raise TransientError(f"no right to {missing} ({err}); {RIGHTS_FILE} grants it") from err
    except KubeNotFound as err:
        raise TransientError(f"{err}; is namespace {right.namespace} there?") from err
    except RejectedError as err:
        raise TransientError(str(err)) from err

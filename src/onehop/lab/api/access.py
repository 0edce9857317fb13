"""Who may do what: a rule hook, and the API to ask it.

A rule is a function, not RBAC: tests take rights away with one line. It decides about requests and
about SelfSubjectAccessReview alike, so that a preflight and the real thing agree.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from onehop.lab.api.check import part
from onehop.lab.api.refusal import Json

USER = "onehop-lab"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One thing somebody wants to do, as RBAC describes it; `resource` is the bare plural."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


Allows: TypeAlias = Callable[[Access], bool]


def anything(access: Access) -> bool:  # noqa: ARG001  the signature of `Allows`
    """Allow it."""
    return True


def review(asked: Json, allows: Allows) -> Json:
    """Return a SelfSubjectAccessReview with its answer."""
    wanted = part(part(asked, "spec"), "resourceAttributes")
    access = Access(
        verb=str(wanted.get("verb", "")),
        group=str(wanted.get("group", "")),
        resource=str(wanted.get("resource", "")),
        subresource=str(wanted.get("subresource", "")),
        namespace=str(wanted.get("namespace", "")),
        name=str(wanted.get("name", "")),
    )
    is_allowed = allows(access)
    reason = "" if is_allowed else "the rule hook of the lab's API says no"
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": part(asked, "spec"),
        "status": {"allowed": is_allowed, "reason": reason} if reason else {"allowed": True},
    }

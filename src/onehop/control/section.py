"""What all sections of the operator's file have in common."""

from typing import Annotated, TypeAlias

import msgspec

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Percent: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=100)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Section(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A section: keys are in camelCase, and one that nobody knows is refused."""

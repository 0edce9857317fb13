"""Which namespaces a Gateway lets in: a label selector (meta/v1 LabelSelector)."""

from collections.abc import Mapping

import msgspec

from onehop.cluster.meta import NOTHING


class LabelExpression(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One demand on a label: `In`, `NotIn`, `Exists` or `DoesNotExist`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet it; an operator that nobody knows admits nothing."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case _:
                return False


class LabelSelector(
    msgspec.Struct, frozen=True, gc=False, rename="camel", kw_only=True, omit_defaults=True
):
    """Demands that labels have to meet all at once; none at all are met by everything."""

    match_labels: Mapping[str, str] = NOTHING
    match_expressions: tuple[LabelExpression, ...] = ()

    def admits(self, labels: Mapping[str, str] | None) -> bool:
        """Tell whether something with these labels is selected."""
        present = labels or NOTHING
        return all(present.get(key) == value for key, value in self.match_labels.items()) and all(
            expression.admits(present) for expression in self.match_expressions
        )

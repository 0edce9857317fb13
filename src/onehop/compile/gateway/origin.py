"""From which namespaces a Gateway lets objects in: routes to its listeners, and ListenerSets."""

from enum import StrEnum

from onehop.cluster.gateway_selector import LabelSelector
from onehop.compile.inputs import NAMESPACES
from onehop.compile.sheet import Reader
from onehop.model.ident import ObjectRef


class From(StrEnum):
    """From which namespaces objects may come (`FromNamespaces`)."""

    ALL = "All"
    SAME = "Same"
    SELECTOR = "Selector"
    NONE = "None"

    @classmethod
    def of(cls, text: str) -> "From":
        """Return what a text means; one that nobody knows lets nobody in."""
        return cls(text) if text in set(cls) else cls.NONE


def lets_in(
    reader: Reader, origin: From, selector: LabelSelector | None, *, home: str, namespace: str
) -> bool:
    """Tell whether objects of a namespace may come to something in the namespace `home`."""
    match origin:
        case From.ALL:
            return True
        case From.SAME:
            return namespace == home
        case From.SELECTOR:
            found = reader.get(NAMESPACES, ObjectRef("Namespace", "", namespace))
            if found is None or selector is None:
                return False
            return selector.admits(found.metadata.labels)
        case From.NONE:
            return False

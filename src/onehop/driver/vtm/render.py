"""A whole Model as the objects of a unit: what `onehop render` shows, and the golden files hold."""

from collections.abc import Mapping
from typing import Any

from onehop.driver.vtm.content import Content
from onehop.driver.vtm.fit import fit
from onehop.driver.vtm.name import Names
from onehop.driver.vtm.wanted import Wanted
from onehop.model.certificate import SecretText
from onehop.model.model import Model


def render_model(model: Model, *, owner: str, machines: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the objects by collection and name, as plain values without private keys.

    Args:
        model: what shall be served; what does not fit is left out.
        owner: see `VtmOptions`.
        machines: the traffic managers; without a unit to ask, those that the operator named.
    """
    wanted = Wanted(Names(owner), machines=machines)
    wanted.put(row for each in model.rows() if (row := fit(each).row) is not None)
    rendered: dict[str, Any] = {}
    for key, content in sorted(wanted.objects.items()):
        rendered.setdefault(key.kind.value, {})[key.name] = _plain(content)
    return rendered


def _plain(content: Content) -> Any:
    if isinstance(content, str):
        return content
    return {name: _value(section) for name, section in content.items()}


def _value(value: Any) -> Any:
    match value:
        case SecretText():
            return str(value)
        case Mapping():
            return {key: _value(item) for key, item in value.items()}
        case tuple():
            return [_value(item) for item in value]
        case _:
            return value

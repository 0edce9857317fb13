"""What the guide lists is all there is, and is so."""

from math import inf
from pathlib import Path
from typing import Any, Final

import msgspec

from onehop.control.acmeconfig import (
    ExternalAccountConfig,
    Http01Config,
    IssuerConfig,
    Rfc2136Config,
    TlsAlpn01Config,
    WebhookConfig,
)
from onehop.control.config import Config, NeighborConfig, PoolConfig
from onehop.control.overview import NetworkSnapshot
from onehop.control.scrape import Gauges, Scrape
from onehop.driver.remote import RemoteCounts
from onehop.model.problem import Reason
from onehop.status import WriterMetrics
from onehop.telemetry.metrics import Metrics
from tests.docs.pages import ROOT, in_backticks, table_rows

GUIDE: Final = ROOT / "docs" / "guide"
CONFIGURATION: Final = GUIDE / "configuration.md"
OPERATING: Final = GUIDE / "operating.md"

NOT_SAID: Final = "none"


def _documented_keys() -> dict[str, str]:
    text = CONFIGURATION.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {in_backticks(row[0])[0]: row[2] for row in rows}


def _keys(kind: Any, path: str = "") -> dict[str, str]:
    """Return every key of a section with its default as the guide prints it."""
    keys: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        name = f"{path}{field.encode_name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            keys |= _keys(field.type, f"{name}.")
        else:
            keys[name] = _shown(field)
    return keys


def _shown(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required"
    if field.default in {None, (), ""}:
        return NOT_SAID
    if isinstance(field.default, tuple):
        return ", ".join(f"`{each.__struct_config__.tag}`" for each in field.default)
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


def test_the_guide_lists_every_key_with_its_default() -> None:
    """A key is added to the file and to the guide together."""
    expected = _keys(Config)
    expected |= _keys(PoolConfig, "addresses.pools[].")
    expected |= _keys(NeighborConfig, "bgp.neighbors[].")
    expected |= _keys(IssuerConfig, "acme.issuers[].")
    expected |= _keys(ExternalAccountConfig, "acme.issuers[].externalAccount.")
    for solver in (Http01Config, TlsAlpn01Config, Rfc2136Config, WebhookConfig):
        expected |= _keys(solver, "acme.issuers[].solvers[].")

    assert _documented_keys() == expected


def test_the_guide_lists_every_metric() -> None:
    """By the name under which Prometheus stores it."""
    zero = Gauges(
        is_synced=False,
        is_ready=False,
        is_leader=False,
        served={},
        withheld={},
        refused={},
        problems={},
        loop_lag_s=0.0,
        network=NetworkSnapshot(endpoints={}, bird="2"),
        remote=RemoteCounts(
            is_connected=False,
            calls={},
            writes=0,
            lag={inf: 0},
            lag_s=0.0,
            refused=0,
            withheld=0,
        ),
    )
    registry = Metrics(version="0", driver="envoy").registry
    families = [*registry.collect(), *Scrape(lambda: zero, {}, WriterMetrics()).collect()]
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    rows = table_rows(OPERATING, "Health and metrics")

    assert {in_backticks(row[0])[0] for row in rows if row[0].startswith("`onehop_")} == names


def test_the_guide_explains_every_reason() -> None:
    """The word in an event can be looked up."""
    explained = [in_backticks(row[0])[0] for row in table_rows(OPERATING, "Reasons")]

    assert explained == sorted(Reason)


def test_the_log_events_in_the_guide_are_logged() -> None:
    """Somewhere in the source, under that very name."""
    source = "\n".join(
        Path(file).read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py")
    )
    events = [name for row in table_rows(OPERATING, "Logs") for name in in_backticks(row[0])]

    assert events
    assert [name for name in events if f'"{name}"' not in source] == []

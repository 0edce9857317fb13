"""Golden files: what is expected, written so that a person can review it.

They change only by `make golden`, which sets ONEHOP_UPDATE_GOLDEN; a build server refuses that.
"""

import os
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec
import yaml

from onehop.cluster.gateway_verdict import (
    GatewayClassVerdict,
    GatewayVerdict,
    ListenerSetVerdict,
    ParentsVerdict,
)
from onehop.compile.verdict import IngressVerdict, ServiceRelease, ServiceVerdict, Verdict
from onehop.model.certificate import CertificateDemand, SecretText
from onehop.model.endpoint import PoolEndpoints
from onehop.model.ident import ObjectRef
from onehop.model.model import Model, Row
from onehop.model.problem import Problem

UPDATE: Final = "ONEHOP_UPDATE_GOLDEN"


def check_golden(path: Path, text: str) -> None:
    """Compare text with a golden file, or write the file if that is what was asked for."""
    if os.environ.get(UPDATE):
        assert os.environ.get("CI") != "true", "golden files are made where a person reviews them"
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing; `make golden` writes it"
    assert text == path.read_text(encoding="utf-8"), f"{path.name}: see the diff; `make golden`"


def model_text(model: Model) -> str:
    """Return a Model as YAML: tables by id, without defaults and without secrets."""
    tables = {
        name: {row.id: _without_id(row) for row in getattr(model, name)}
        for name in model.__struct_fields__
    }
    return yaml_text({name: rows for name, rows in tables.items() if rows})


def problems_text(problems: Iterable[Problem]) -> str:
    """Return Problems as YAML, in their order."""
    written = [plain(problem) for problem in problems]
    return yaml.dump(written, default_flow_style=False, sort_keys=False, width=10_000)


def verdicts_text(verdicts: Iterable[Verdict]) -> str:
    """Return what would be written back to each object."""
    return yaml_text({str(verdict.ref): _verdict(verdict) for verdict in verdicts})


def demands_text(demands: Iterable[CertificateDemand]) -> str:
    """Return the certificates that are wanted of ACME issuers, by Secret."""
    written = {str(demand.secret): plain(demand) for demand in demands}
    return yaml_text({secret: _without(fields, "secret") for secret, fields in written.items()})


def yaml_text(value: object) -> str:
    """Return YAML with one line for each innermost mapping or list."""
    return yaml.dump(value, default_flow_style=None, sort_keys=False, width=120, allow_unicode=True)


def plain(value: object) -> Any:
    """Return plain values; fields that hold their default are left out."""
    match value:
        case ObjectRef() | SecretText():
            return str(value)
        case msgspec.Struct():
            return _tag(value) | {
                field.name: plain(item)
                for field in msgspec.structs.fields(value)
                if (item := getattr(value, field.name)) != _default(field)
            }
        case Enum():
            return str(value.value)
        case str():
            return _pem(value) if value.startswith("-----BEGIN") else value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case tuple() | list():
            return [plain(item) for item in value]
        case _:
            return value


def _without_id(row: Row) -> Any:
    if isinstance(row, PoolEndpoints):
        return plain(row.endpoints)
    return _without(plain(row), "type", "id", "router", "hostname")


def _without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _verdict(verdict: Verdict) -> Any:
    match verdict:
        case ServiceRelease():
            return {"release": True, "clears_status": verdict.clears_status}
        case ServiceVerdict() | IngressVerdict():
            return plain(verdict.status.ingress or ())
        case GatewayClassVerdict():
            return plain(verdict.sayings)
        case GatewayVerdict() | ListenerSetVerdict() | ParentsVerdict():
            return _without(plain(verdict), "ref", "controller")
        case _:
            assert_never(verdict)


def _tag(value: msgspec.Struct) -> dict[str, str]:
    tag = value.__struct_config__.tag
    return {"type": str(tag)} if tag else {}


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _pem(text: str) -> str:
    return f"<{text.count('-----BEGIN')} PEM>"

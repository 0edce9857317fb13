"""OpenAPI: as much of it as kubectl asks for before it applies or gets something.

kubectl looks whether a PATCH of the kind takes `fieldValidation` and `dryRun` (then it leaves
validation to the server), and for list types (there are none here: kubectl knows the built-in kinds
itself). The schemas say `object` and no more.
"""

from onehop.lab.api.discovery import VERSION
from onehop.lab.api.refusal import Json, no_such_path
from onehop.lab.api.resource import Registry, Resource

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What old kubectls insist on for /openapi/v2; they ask with an `@`, which is no media type."""


def openapi_v2(registry: Registry) -> Json:
    """Return a Swagger document with a bare definition of each kind."""
    definitions = {
        _schema_name(each): {"type": "object"} | _kind_extension(each) for each in registry
    }
    return {
        "swagger": "2.0",
        "info": {"title": "onehop lab", "version": VERSION["gitVersion"]},
        "paths": {},
        "definitions": definitions,
    }


def openapi_v2_protobuf() -> bytes:
    """Return the least gnostic `openapi.v2.Document`: swagger and info, no definitions.

    kubectl takes a kind that is not defined there for one it need not validate.
    https://github.com/google/gnostic-models `openapiv2/OpenAPIv2.proto`: Document.swagger = 1,
    Document.info = 2, Info.title = 1, Info.version = 2.
    """
    info = _text(1, "onehop lab") + _text(2, VERSION["gitVersion"])
    return _text(1, "2.0") + bytes((0x12, len(info))) + info


def openapi_v3_index(registry: Registry) -> Json:
    """Return where the document of each group and version is."""
    paths = dict.fromkeys(_path(each) for each in registry)
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def openapi_v3(registry: Registry, path: str) -> Json:
    """Return the document of one group and version; refuse with 404 one that is not served."""
    resources = [each for each in registry if _path(each) == path]
    if not resources:
        raise no_such_path()
    return {
        "openapi": "3.0.0",
        "info": {"title": "onehop lab", "version": VERSION["gitVersion"]},
        "paths": dict(_patch_path(each) for each in resources),
        "components": {
            "schemas": {
                _schema_name(each): {"type": "object"} | _kind_extension(each) for each in resources
            }
        },
    }


def _patch_path(resource: Resource) -> tuple[str, Json]:
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    patch: Json = {
        "operationId": f"patch{resource.kind}",
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _kind(resource),
    }
    return f"/{_path(resource)}{scope}/{resource.plural}/{{name}}", {"patch": patch}


def _path(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def _schema_name(resource: Resource) -> str:
    parts = [*reversed(resource.group.split("."))] if resource.group else ["core"]
    return ".".join((*parts, resource.version, resource.kind))


def _kind(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _kind_extension(resource: Resource) -> Json:
    return {"x-kubernetes-group-version-kind": [_kind(resource)]}


def _text(number: int, text: str) -> bytes:
    """Encode a short protobuf string field."""
    encoded = text.encode()
    return bytes((number << 3 | 2, len(encoded))) + encoded

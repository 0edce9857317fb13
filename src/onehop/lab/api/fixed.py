"""Answers that are not about objects: discovery, OpenAPI, version, health, and the lab's own."""

import msgspec

from onehop.lab.api import discovery, openapi
from onehop.lab.api import faults as faults_module
from onehop.lab.api.answer import Answer, json_answer
from onehop.lab.api.call import Call
from onehop.lab.api.faults import Faults
from onehop.lab.api.refusal import bad_request, no_such_path
from onehop.lab.api.request_log import RequestLog
from onehop.lab.api.resource import Registry

LAB = "/onehop-lab"
HEALTH = ("/healthz", "/livez", "/readyz")


def fixed_answer(call: Call, registry: Registry, address: str) -> Answer | None:
    """Return the answer of a path that is about no object, None when it is about one.

    Args:
        call: a GET; other methods have no fixed answers.
        registry: what is served.
        address: the server's own host and port.
    """
    if call.method != "GET":
        return None
    match call.path.strip("/").split("/"):
        case ["version"]:
            return json_answer(discovery.VERSION)
        case ["openapi", *rest]:
            return _openapi(call, registry, "/".join(rest))
        case ["api" | "apis" as root]:
            return _discovery_root(call, registry, root, address)
        case ["api", version]:
            return json_answer(discovery.resource_list(registry, "", version))
        case ["apis", group]:
            return json_answer(discovery.group(registry, group))
        case ["apis", group, version]:
            return json_answer(discovery.resource_list(registry, group, version))
        case [""]:
            paths = ["/api", "/apis", *HEALTH, "/openapi/v2", "/openapi/v3", LAB, "/version"]
            return json_answer({"paths": paths})
        case _:
            return None


def is_health(path: str) -> bool:
    """Return whether a path asks for health; `/readyz/ping` and its like too."""
    return path.startswith(HEALTH)


def lab_answer(call: Call, faults: Faults, requests: RequestLog) -> Answer:
    """Answer what is the lab's own: fault switches and the request log."""
    match call.method, call.path.removeprefix(LAB).strip("/").split("/"):
        case "GET", [""]:
            told = f"This is not Kubernetes.\n\n{faults_module.__doc__}"
            return Answer(200, told.encode(), "text/plain")
        case "GET", ["faults"]:
            return json_answer({"faults": faults.armed})
        case "POST", ["faults"]:
            try:
                return json_answer(faults.arm_json(call.content()), 201)
            except msgspec.ValidationError as error:
                raise bad_request(f"no such fault: {error}") from error
        case "DELETE", ["faults"]:
            faults.disarm()
        case "DELETE", ["faults", number] if number.isdigit():
            faults.disarm(int(number))
        case "GET", ["requests"]:
            return json_answer({"requests": requests.as_json()})
        case "DELETE", ["requests"]:
            requests.clear()
        case _:
            raise no_such_path()
    return json_answer({"status": "Success"})


def _discovery_root(call: Call, registry: Registry, root: str, address: str) -> Answer:
    version = discovery.aggregated_version(call.accept)
    if version:
        found = discovery.aggregated(registry, is_core=root == "api", version=version)
        media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        return msgspec.structs.replace(json_answer(found), content_type=media)
    if root == "api":
        return json_answer(discovery.core_versions(address))
    return json_answer(discovery.group_list(registry))


def _openapi(call: Call, registry: Registry, path: str) -> Answer:
    match path:
        case "v2" if "protobuf" in call.accept and "json" not in call.accept:
            return Answer(200, openapi.openapi_v2_protobuf(), openapi.PROTOBUF)
        case "v2":
            return json_answer(openapi.openapi_v2(registry))
        case "v3":
            return json_answer(openapi.openapi_v3_index(registry))
        case _ if path.startswith("v3/"):
            return json_answer(openapi.openapi_v3(registry, path.removeprefix("v3/")))
        case _:
            raise no_such_path()

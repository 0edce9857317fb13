"""The access log: one JSON line for each request or connection."""

from typing import Any, Final

from onehop.driver.envoy.proto import FileAccessLog, StdoutAccessLog, extension

_COMMON: Final = {
    "time": "%START_TIME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "listener": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "pool": "%UPSTREAM_CLUSTER_RAW%",
    "endpoint": "%UPSTREAM_HOST%",
    "duration_ms": "%DURATION%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
_HTTP: Final = {
    **_COMMON,
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "route": "%ROUTE_NAME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "user_agent": "%REQ(USER-AGENT)%",
}


def render_access_log(target: str | None, *, is_http: bool) -> list[dict[str, Any]]:
    """Return the `access_log` of a filter: to a file, to standard output (`-`), or nowhere."""
    if target is None:
        return []
    line = {"log_format": {"json_format": _HTTP if is_http else _COMMON}}
    if target == "-":
        return [extension("envoy.access_loggers.stdout", StdoutAccessLog(**line))]
    return [extension("envoy.access_loggers.file", FileAccessLog(path=target, **line))]

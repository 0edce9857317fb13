"""An in-memory Kubernetes API for tests, benchmarks and the lab. It is not Kubernetes.

Enters: objects as JSON, over HTTP or through `Store`; faults to play. Leaves: list, watch, patch
and apply with real resourceVersion semantics, good enough for kubectl. Tests and the lab use it.

Start reading at `store` (the verbs), then `history` (events, the past), `handler` (a request).
"""

from onehop.lab.api.handler import Settings
from onehop.lab.api.load import load, manifests, put, read, remove
from onehop.lab.api.option import WriteOptions
from onehop.lab.api.patching import PatchType
from onehop.lab.api.refusal import Refused
from onehop.lab.api.server import Server, serve
from onehop.lab.api.store import Store
from onehop.lab.api.tls import ServerTls, self_signed

__all__ = [
    "PatchType",
    "Refused",
    "Server",
    "ServerTls",
    "Settings",
    "Store",
    "WriteOptions",
    "load",
    "manifests",
    "put",
    "read",
    "remove",
    "self_signed",
    "serve",
]

"""The kubeconfig of a lab's API."""

import base64

import yaml

from onehop.lab.api.refusal import Json

NAME = "onehop-lab"


def kubeconfig(url: str, *, token: str = "", ca: bytes = b"", namespace: str = "default") -> str:
    """Return a kubeconfig as YAML.

    Args:
        url: of the server.
        token: bearer token, "" for none.
        ca: PEM of the certificate to trust; empty for plain HTTP.
        namespace: of the context.
    """
    cluster: Json = {"server": url}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    user: Json = {"token": token} if token else {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [
            {"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": namespace}}
        ],
        "current-context": NAME,
    }
    return yaml.safe_dump(config, sort_keys=False)

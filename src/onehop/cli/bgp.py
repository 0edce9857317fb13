"""`onehop bgp peers`: what makes a cluster's BGP speakers accept this host."""

import socket
import sys
from typing import Any, Final, Literal

import msgspec
import yaml

from onehop.base.errors import ConfigError
from onehop.compile.peer import PASSWORD_KEY, PASSWORD_SECRET
from onehop.control.config import Config
from onehop.control.peering import Step, apply_steps, plan_peers
from onehop.control.sources import open_source

_PASSWORD: Final = f"""\
# The sessions have a password: the Secret {PASSWORD_SECRET!r} must hold it under {PASSWORD_KEY!r},
# in the namespace of the plugin's agents, who must be allowed to read it.
"""
_CALICO: Final = """\
# For `kubectl apply -f -` where Calico's API server runs, or for `calicoctl apply -f -`.
"""


async def peers(config: Config, *, apply: bool, output: Literal["text", "json"]) -> bool:
    """Print the objects, or create and update them; return whether that could be done.

    Raises:
        ConfigError: the configuration names no cluster, or no plugin in it.
        RejectedError: the cluster has no such speakers, or an object there is somebody else's.
        TransientError: the API server does not answer.
    """
    async with open_source(config) as origin:
        if origin.client is None:
            raise ConfigError("cluster.manifests: a folder has no BGP speakers; name a cluster")
        steps = await plan_peers(config, origin.client, host_name=socket.gethostname())
        if apply:
            await apply_steps(origin.client, steps)
    if output == "json":
        told = [{"manifest": step.manifest, "done": _done(step, apply=apply)} for step in steps]
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    elif apply:
        sys.stdout.writelines(f"{step} {step.done}\n" for step in steps)
    else:
        sys.stdout.write(_as_yaml(steps, has_password=config.bgp.node_password_file is not None))
    for step in steps:
        if step.refusal:
            sys.stderr.write(f"onehop: --apply would refuse: {step.refusal}\n")
    return True


def _done(step: Step, *, apply: bool) -> str:
    return step.done if apply else "printed"


def _as_yaml(steps: tuple[Step, ...], *, has_password: bool) -> str:
    head = _CALICO if steps[0].manifest["apiVersion"] == "projectcalico.org/v3" else ""
    head += _PASSWORD if has_password else ""
    documents = (
        yaml.dump(step.manifest, Dumper=_Dumper, sort_keys=False, default_flow_style=False)
        for step in steps
    )
    return head + "---\n".join(documents)


class _Dumper(yaml.SafeDumper):
    """Writes a value out each time it stands somewhere, and never `*id001`."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the signature is the library's
        return True

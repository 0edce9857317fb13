"""An external load balancer for Kubernetes that goes straight to the Pods.

Start reading at `onehop.control`, which wires the flow: source -> compile -> plan -> driver ->
status.
The nouns everything speaks in are in `onehop.model`.
"""

__version__ = "0.1.0"

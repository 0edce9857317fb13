"""Where cluster objects come from: a Kubernetes API or a folder of manifests.

Enters: watch streams, files. Leaves: `Batch`es of changed `cluster` objects, in order. `control`
imports it; it knows nothing of what is done with the objects.
"""

from onehop.source.source import Batch, Deleted, Sink, Source

__all__ = ["Batch", "Deleted", "Sink", "Source"]

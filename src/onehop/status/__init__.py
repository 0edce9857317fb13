"""What is written back: finalizers, addresses, conditions and events.

Enters: a `Report` per object: what was compiled of it and what the data plane took. Leaves: patches
of the Kubernetes API, by the leader only, none when nothing differs. `control` imports it.
"""

from onehop.status.channel import WriterPorts
from onehop.status.decide import decide
from onehop.status.limits import Limits, Pace
from onehop.status.metrics import WriterMetrics
from onehop.status.report import Report
from onehop.status.rights import NEEDED
from onehop.status.write import (
    AddFinalizer,
    EmitEvent,
    PatchGatewayApi,
    PatchStatus,
    RemoveFinalizer,
    Write,
)
from onehop.status.writer import StatusWriter

__all__ = [
    "NEEDED",
    "AddFinalizer",
    "EmitEvent",
    "Limits",
    "Pace",
    "PatchGatewayApi",
    "PatchStatus",
    "RemoveFinalizer",
    "Report",
    "StatusWriter",
    "Write",
    "WriterMetrics",
    "WriterPorts",
    "decide",
]

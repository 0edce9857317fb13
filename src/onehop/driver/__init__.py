"""Data planes: what carries out a Model.

Enters: `plan.Plan` and `model.PoolEndpoints`. Leaves: a `Receipt` of what the data plane took.
A driver knows neither Kubernetes nor another driver.
"""

from onehop.driver.capability import Capability
from onehop.driver.driver import (
    Driver,
    EndpointCount,
    Receipt,
    Refusal,
    Reloads,
    SharedDriver,
)

__all__ = ["Capability", "Driver", "EndpointCount", "Receipt", "Refusal", "Reloads", "SharedDriver"]

"""From a Change to the order in which a data plane may make it without breaking anything.

Enters: `model.Change`. Leaves: stages of rows to put and keys to remove. Pure; drivers and control
import it.
"""

from onehop.plan.plan import Plan, Stage, StageKind, make_plan

__all__ = ["Plan", "Stage", "StageKind", "make_plan"]

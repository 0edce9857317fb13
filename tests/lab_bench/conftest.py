"""A name for a lab of this run, and the proof that nothing of it is left."""

from tests.lab_world.conftest import name

__all__ = ["name"]

"""The floor: how fast a data plane follows when there is almost nothing in front of it."""

"""The four ways into a cluster, measured side by side: what a hop costs.

Enters: the wish for a comparison, and how long it may take. Leaves: a `Result`, which `report`
writes as Markdown and `plot` draws. `cli` and tests import it; it brings up a lab of its own and
takes it down.
"""

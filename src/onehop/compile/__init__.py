"""From cluster objects to the Model, Problems and verdicts: pure, synchronous, total.

Enters: `cluster` objects and `Options`. Leaves: `Settled` changes, or a whole `Compiled`. `control`
and the CLI import it; begin reading at `compiler`, then `sheet`.
"""

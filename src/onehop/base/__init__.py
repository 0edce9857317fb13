"""What every layer stands on: the exception tree and the one-slot hand-over between stages.

Enters: nothing. Leaves: `errors`, `latest`. Standard library only; everybody may import it.
"""

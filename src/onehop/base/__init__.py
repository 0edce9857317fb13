"""What every layer stands on: the exception tree, the one-slot hand-over, child processes.

Enters: nothing. Leaves: `child`, `errors`, `latest`. Standard library only;
everybody may import it.
"""

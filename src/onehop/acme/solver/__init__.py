"""How a host is proven: what is put where, so that the CA finds it there.

Enters: a host, a token, our key authorization of it. Leaves: a published answer, or a TXT record.
Only `onehop.acme.attempt` imports it.
"""

from onehop.acme.solver.solver import Solver, make_solver

__all__ = ["Solver", "make_solver"]

"""Which motion was it, and what was there before? Operators, solver, motions."""

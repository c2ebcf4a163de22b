"""Which motion was it, and what was there before? Operators, solver, motions."""

METHODS = (
    "restorer",
    "physics",
    "both",
)  # of deblurring a photo: the network alone, physics, physics if sure

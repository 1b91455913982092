"""The running model, asked: what shapes do not say. Built small on the CPU, run once, seeded.

findings         what was found, as plain values
probing          `probe`: base, wider and deeper model, built and run
example          a small input: given, or guessed
calm             the user's code runs seeded and silent; global states are given back
trace            one forward, recorded as operations
places           whose line it is: the user's, or a library's
operations       names of torch's operations, by what they are
understanding    from an operation of torch to what it is in a network
steps            what an operation can be
graph            a recorded run as a graph of steps
walks            paths between weights and what they reach
alignment        which operation of a larger model is which of the base; exact powers
factors          numbers that change with the size, and what each does
attention_sites  where queries meet keys
residual         what is added to the residual stream, and the norms that it passes
readouts         where the answer comes from
sizes            how large tensors are, and how that moves with the width
own_init         how every parameter starts, read while a model is built
laws             the law by which an entry starts
init_operations  what operations make of laws
measured_init    starts that no operation tells, measured
"""

__all__ = ["calm", "example", "findings", "measured_init", "own_init", "probing"]

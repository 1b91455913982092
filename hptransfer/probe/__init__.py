"""The running model, asked: what shapes do not say. Built small on the CPU, run once, seeded.

findings         what was found, as plain values
probing          `probe`: base, wider and deeper model, built and run
example          a small input: given, or guessed
calm             the user's code runs seeded and silent; global states are given back
trace            one forward, recorded as a graph of operations
steps            what each operation is in a network
walks            paths between weights and what they reach
alignment        which operation of a larger model is which of the base; exact powers
factors          numbers that change with the size, and what each does
attention_sites  where queries meet keys
residual         what is added to the residual stream, and the norms that it passes
readouts         where the answer comes from
sizes            how large tensors are, and how that moves with the width
"""

__all__ = ["measured_init", "own_init"]

__all__: list[str] = []

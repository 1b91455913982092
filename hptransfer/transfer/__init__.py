"""Transfer: finished trials of several sizes in; a verdict with its reasons, and predictions, out. Pure functions.

slices        which trials bear on one hyperparameter along one axis of size
cost          what a value costs, in doublings or in deviations between seeds; `cost_text` has the words
criteria      bounds on the cost, what is known at each size, and the verdict
evidence      runs sorted by size -> curves, regret and cost at each size
one_seed      when runs of a single seed can settle a ladder
judge         the judgement: `judge(trials, ...) -> TransferReport`
speed         whether transfer is fast, or only weak
verdict_text  the sentences of a verdict and its limits; `advice` says what would decide an open one
prediction    optimum and loss at a target, registered before it is trained
exponents     how the optimum moves with batch and tokens
mechanics     fixed values at which a larger size trains worse
penalty       one way of scaling against another: best losses, and what is left at infinite size
hyperbola     steps against examples to one loss, and the critical batch
horizon       a value carried along batch and tokens by the exponent that a ladder measured
allocation    the next runs that shrink the deciding interval most
"""

__all__ = [
    "allocation",
    "axis_facts",
    "cost",
    "cost_text",
    "coverage",
    "criteria",
    "evidence",
    "exponents",
    "horizon",
    "hyperbola",
    "judge",
    "law",
    "mechanics",
    "penalty",
    "prediction",
    "scope",
    "slices",
    "speed",
    "target",
    "verdict_text",
]

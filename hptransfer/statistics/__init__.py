"""Statistics: from losses at values and seeds to optima, drifts and laws, with intervals that cover. Pure functions.

seed_means  runs of all sizes -> seed means on a scale on which sizes are alike (`units`), without `blow_ups`; how noisy
            one run is (`noise`, `variances`)
tilt        what a seed does to its curve beyond an offset: tilts, and noise that is alike at neighbouring values
curve       all sizes' loss curves as a posterior; drawn from the fit in `sizes_fit`, which is made of
            `joint`, `smooth`, `stability_edge`, `valley` and `wiener_process`
sensitivity  what a value that is wrong by an octave costs, read off these curves
optimum     where the best value lies at a size, from these curves
seed_offsets  what a seed does to all losses of a size, and to one size alone
exchange    what a doubling buys, and what a loss costs in doublings
drift       octaves by which the optimum moves per doubling of the size
laws        loss against size, and predictions that allow for a law that bends
slope       a power of size against a band; spectral norms of matrices
interval    an estimate with its 95% interval
arrays      the type of all arrays
"""

__all__ = [
    "arrays",
    "curve",
    "drift",
    "exchange",
    "extrapolated_ratio",
    "interval",
    "laws",
    "optimum",
    "path",
    "seed_means",
    "seed_offsets",
    "sensitivity",
    "slope",
    "student",
    "surface",
    "surface_runs",
    "wiener_process",
]

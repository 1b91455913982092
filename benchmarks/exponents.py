"""Print the measured width and depth exponents of one optimizer step for every table, next to theory.

    python -m benchmarks.exponents

The tests hold the same measurements against a tolerance; this prints the numbers themselves. About half a minute.
"""

from __future__ import annotations

from hptransfer.parameterization.tables import TABLES
from tests.support.depth_exponents import WITH_DEPTH, exponent
from tests.support.width_exponents import FLAT, STEPS, step_exponents


def main() -> None:
    print("exponent in the width of ||dW||_2 / sqrt(fan_out/fan_in) after one step: input, hidden, readout (theory)")
    for name, family in TABLES:
        found = step_exponents(name, family)
        theory = STEPS.get((name, family), FLAT)
        numbers = "  ".join(f"{value:+.2f} ({limit:+.1f})" for value, limit in zip(found, theory, strict=True))
        print(f"{name:12s} {family:10s} {numbers}")
    print("\nexponent in the depth of the residual stream's relative change after one step (theory 0; mup 1)")
    for name, family, alpha in [*WITH_DEPTH, ("mup", "adam", None), ("mup", "sgd", None), ("mup", "orthogonal", None)]:
        label = "" if alpha is None else f"alpha {alpha:g}"
        print(f"{name:12s} {family:10s} {label:9s} {exponent(name, family, alpha):+.2f}")


if __name__ == "__main__":
    main()

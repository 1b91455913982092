"""What a carried value costs: on generated ladders whose cost is exact, and on stored runs in other units."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hptransfer.report.costs import describe_costs
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.cost import what_grows
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge, judge_ladder
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.verdict import Verdict

LADDERS = Path(__file__).parents[1] / "data" / "ladders"
GRID = tuple(-8 + 0.5 * step for step in range(-4, 5))
#: doublings of compute from one size to the next
STEP = 1.5
BEND = 0.03


def best(doublings: float) -> float:
    """The law of the generated ladders: what 2^-0.45 per doubling of compute leaves of 0.14, over 2.2."""
    return 2.2 + 0.14 * 2 ** (-0.45 * doublings)


def doublings_lost(at: float, lost: float) -> float:
    """With how many doublings less the law loses as much, by bisection on the law itself."""
    low, high = 0.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if best(at - middle) - best(at) < lost else (low, middle)
    return high


def runs(
    shifts: Sequence[float],
    *,
    noise: float = 0.005,
    seeds: int = 3,
    plateau: float = 0.0,
    rng: int = 0,
    flops: bool = True,
    law: Callable[[float], float] = best,
) -> dict[float, list[Point]]:
    """Widths 64, 128, ...: parabolas whose optimum lies off 2^-8 by the shifts, flat within the plateau's half width.

    Seeds lift all sizes alike by 0.03, and single sizes by 0.003.
    """
    generator = np.random.default_rng(rng)
    everywhere = 0.03 * generator.standard_normal(seeds)
    made: dict[float, list[Point]] = {}
    for step, shift in enumerate(shifts):
        offset = everywhere + 0.003 * generator.standard_normal(seeds)
        made[64 * 2**step] = [
            Point(
                x,
                seed,
                law(STEP * step)
                + BEND * max(0.0, abs(x + 8 - shift) - plateau) ** 2
                + offset[seed]
                + noise * generator.standard_normal(),
                flops=1e12 * 2 ** (STEP * step) if flops else 0.0,
            )
            for x in GRID
            for seed in range(seeds)
        ]
    return made


def judged(groups: Mapping[float, Sequence[Point]], **options: object) -> AxisReport:
    """Along width, tuned at width 64 to 2^-8."""
    chosen = TransferCriteria(**options)  # type: ignore[arg-type]  # options of one test
    return judge_ladder(
        groups, axis="width", hyperparameter="learning_rate", transferred=2**-8, reference=64, criteria=chosen
    )


def shift_that_costs(doublings: float, sizes: int) -> list[float]:
    """Optima that move steadily, so that 2^-8 costs so much at the largest size."""
    at = STEP * (sizes - 1)
    furthest = math.sqrt((best(at - doublings) - best(at)) / BEND)
    return [furthest * step / (sizes - 1) for step in range(sizes)]


def test_costs_cover_and_verdicts_follow_them() -> None:
    """36 ladders, true cost a quarter, once and four times the bound: no false verdict, most clear ones found."""
    held, verdicts = [], []
    for want in (0.125, 0.5, 2.0):
        shifts = shift_that_costs(want, 4)
        truth = [doublings_lost(STEP * step, BEND * shift**2) for step, shift in enumerate(shifts)]
        for number in range(12):
            report = judged(runs(shifts, rng=number))
            held += [
                size.cost.low <= t + 1e-9 and t <= size.cost.high for size, t in zip(report.sizes, truth, strict=True)
            ]
            verdicts.append((want, report.verdict))

    assert np.mean(held) >= 0.93
    clear = {want: [verdict for w, verdict in verdicts if w == want] for want in (0.125, 2.0)}
    assert Verdict.DRIFTS not in clear[0.125]
    assert Verdict.TRANSFERS not in clear[2.0]
    assert clear[0.125].count(Verdict.TRANSFERS) >= 8
    assert clear[2.0].count(Verdict.DRIFTS) >= 11


@pytest.mark.parametrize("rng", range(4))
def test_a_plateau_settles(rng: int) -> None:
    """Flat over two octaves, wherever within them the optimum seems to lie: the value costs nothing and transfers.

    Curves that bend abruptly at the plateau's ends undershoot between values, by 0.001 nats here: half a doubling is
    allowed, of which one gains 0.007 at the largest size.
    """
    report = judged(runs([0.0] * 5, plateau=1.0, noise=0.001, seeds=4, rng=rng), cost=0.5)

    assert report.verdict is Verdict.TRANSFERS
    assert all(size.cost.low < 0.01 for size in report.sizes)


def test_a_plateau_is_no_drift_for_its_luck() -> None:
    """Among many equal values one is best by chance: 30 noisy plateaus, none of them DRIFTS."""
    verdicts = [judged(runs([0.0] * 4, plateau=1.0, rng=100 + n, seeds=2)).verdict for n in range(30)]

    assert Verdict.DRIFTS not in verdicts


def test_every_size_counts_and_not_the_largest_alone() -> None:
    """A path that turns round: nothing is lost at the ends, and more than is allowed in the middle."""
    report = judged(runs([0.0, 0.6, 0.9, 0.6, 0.0], noise=0.002))

    assert report.verdict is Verdict.DRIFTS
    assert report.dearest == 256
    assert "does not carry over to width" in report.sentence


def test_the_headline_says_what_it_costs_at_most_and_where() -> None:
    """Upper end over all sizes, the largest size's estimate, and the bound."""
    report = judged(runs([0.0] * 4, noise=0.002))
    most = max(size.cost.high for size in report.sizes)

    assert report.verdict is Verdict.TRANSFERS
    assert report.sentence.startswith("learning_rate 0.003906 tuned at width 64 costs at most ")
    assert "doublings of compute at width 64 to 512 (" in report.sentence
    assert report.sentence.endswith(" at 512; allowed 0.5).")
    assert float(report.sentence.split("at most ")[1].split()[0]) == pytest.approx(most, abs=0.006)


def test_a_bound_in_deviations_is_given_in_doublings() -> None:
    """Half a deviation of 0.03 nats buys more than half a doubling here, which is said."""
    report = judged(runs([0.0] * 4, noise=0.002), cost=None, deviations=0.5)

    assert report.verdict is Verdict.TRANSFERS
    assert "deviations between seeds at width 64 to 512" in report.sentence
    assert "allowed 0.5 deviations, which is " in report.sentence
    assert "doublings of compute here" in report.sentence


def test_a_ladder_that_gains_nothing_needs_a_bound_in_deviations() -> None:
    """Losses do not fall with size: no cost in doublings; a chosen bound in deviations settles it."""
    flat = runs([0.0] * 4, noise=0.002, law=lambda t: 2.2)
    report = judged(flat)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.unit.name == "deviations between seeds"
    assert all(size.cost == size.deviations for size in report.sizes)
    assert any("costs are given in deviations between seeds" in limit for limit in report.limits)
    assert "choose a bound in deviations" in str(report.would_decide)
    assert judged(flat, deviations=0.5).verdict is Verdict.TRANSFERS


def test_a_ladder_that_gains_nothing_may_still_drift() -> None:
    """Two octaves off cost 0.12 nats; not even the most that a doubling may gain buys that back by half a doubling."""
    report = judged(runs([0.0, 0.7, 1.4, 2.0], noise=0.002, law=lambda t: 2.2))

    assert not report.unit.known
    assert report.verdict is Verdict.DRIFTS
    assert "at least" in report.sentence


def test_a_value_that_was_badly_tuned_is_named() -> None:
    """1.5 octaves off at every size cost too much at the proxy already; its optimum costs nothing anywhere."""
    report = judged(runs([1.5] * 4, noise=0.002))
    (said,) = [limit for limit in report.limits if "At the proxy itself" in limit]

    assert report.verdict is not Verdict.TRANSFERS
    assert "costs more than is allowed" in said
    assert said.endswith("Tune again.")


def test_a_value_that_fits_the_largest_size_is_not_to_be_tuned_again() -> None:
    """Optima move by 1.5 octaves to the carried value: too dear at the proxy, whose optimum is dearer when carried."""
    report = judged(runs([1.5, 1.0, 0.5, 0.0], noise=0.0003))
    (said,) = [limit for limit in report.limits if "At the proxy itself" in limit]

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "Tune again" not in said
    assert "arried in its place" not in said
    assert str(report.would_decide).startswith("Carry another value")
    assert "seeds per value" not in str(report.would_decide)


def test_a_value_that_the_proxy_excludes_is_named_with_the_better_one() -> None:
    """0.3 octaves off at every size: the proxy's optimum costs nothing at any of them."""
    report = judged(runs([0.3] * 4, noise=0.0003))
    (said,) = [limit for limit in report.limits if "excludes the carried" in limit]

    assert "At the proxy another value is better" in said
    assert "0.00391, which its runs have and which is not the best of them" in said
    carried = said.split("Carried in its place, ")[1]
    assert float(carried.split()[0]) == pytest.approx(2**-7.7, rel=0.02)
    assert float(carried.split("at most ")[1].split()[0]) < 0.01
    dearest = doublings_lost(3 * STEP, BEND * 0.3**2)
    assert dearest < float(carried.split("costs up to ")[1].rstrip(".")) < 2 * dearest


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_the_proxys_own_optimum_is_not_recommended_where_it_costs_more(shift: float) -> None:
    """The optima move by an octave to the carried 2^-8: at the proxy another is better, and dear when carried."""
    report = judged(runs([shift * (1 - step / 3) for step in range(4)], noise=0.0003), cost=20.0)
    (said,) = [limit for limit in report.limits if "excludes the carried" in limit]

    assert report.verdict is Verdict.TRANSFERS
    assert "At the proxy another value is better" in said
    assert "arried in its place" not in said
    assert "better value to carry" not in said


def test_a_given_value_is_not_said_to_come_from_other_runs() -> None:
    """Nothing is known of where a value comes from that no run has."""
    groups = runs([0.0] * 4, noise=0.0003)
    report = judge_ladder(groups, axis="width", hyperparameter="learning_rate", transferred=2**-7.7, reference=64)
    (said,) = [limit for limit in report.limits if "excludes the carried" in limit]

    assert "which none of its runs has" in said
    assert "tuned with" not in said


def test_growing_that_costs_loss_is_said_as_such() -> None:
    """Batch sizes, 0.015 nats dearer per doubling: no doubling buys anything back, and no number is "open"."""
    groups = runs([0.0, 0.5, 1.0, 1.5], noise=0.001, flops=False, law=lambda t: 2.0 + 0.01 * t)
    asked = {"hyperparameter": "learning_rate", "transferred": 2**-8, "reference": 64}
    batch, width = (judge_ladder(groups, axis=axis, **asked) for axis in ("batch_size", "width"))  # type: ignore[arg-type]  # keywords of one call
    page = " ".join((*describe_costs(batch), batch.sentence, *batch.limits))

    assert batch.verdict is Verdict.DRIFTS
    assert "open" not in page
    assert "no number of doublings of batch_size buys back what it costs there" in batch.sentence
    gain = page.split("a doubling of batch_size gains nothing: it adds ")[1]
    assert float(gain.split()[0]) == pytest.approx(0.01 * STEP, rel=0.2)
    assert "A doubling of batch_size gains nothing, so costs are given in deviations" in page
    assert "scaling mistake" not in page
    assert any("scaling mistake" in limit for limit in width.limits)


def test_compute_comes_from_runs_then_from_the_table_then_from_nowhere() -> None:
    """Runs count their own; a table's column is next; sizes that do not differ in compute count by their size."""
    counted, silent = runs([0.0] * 3), runs([0.0] * 3, flops=False)
    column = {64.0: 1.0, 128.0: 8.0, 256.0: 64.0}

    assert what_grows(counted, "width", column)[1] == "compute"
    np.testing.assert_allclose(np.diff(what_grows(counted, "width", column)[0]), STEP)
    np.testing.assert_allclose(np.diff(what_grows(silent, "width", column)[0]), 3.0)
    assert what_grows(silent, "width", None)[1] == "width"
    assert what_grows(silent, "width", dict.fromkeys(column, 7.0))[1] == "width"
    assert what_grows(silent, "width", {64.0: 1.0})[1] == "width"


def test_a_batch_ladder_borrows_what_compute_buys() -> None:
    """Runs of all batch sizes take the same compute: the rate at the proxy is that of the widths, which is said."""
    trials = [
        trial(Size(int(width), 2, 64, 1_000_000), point)
        for width, points in runs([0.0] * 4, noise=0.002).items()
        for point in points
    ]
    batches = runs([0.0] * 4, noise=0.002, rng=1, law=lambda t: best(0.0) + 0.01 * t)
    trials += [
        trial(Size(64, 2, int(size), 1_000_000), point, flops=1e12)
        for size, points in batches.items()
        if size > 64
        for point in points
    ]
    report = judge(trials, proxy=Size(64, 2, 64, 1_000_000), hyperparameter="learning_rate", transferred=2**-8)
    width, batch = report.axes

    assert (width.axis, batch.axis) == ("width", "batch_size")
    assert batch.unit.borrowed == "width"
    assert batch.unit.name == "doublings of compute"
    assert batch.unit.gain is not None
    assert batch.unit.gain.contains(0.14 * 0.45 * math.log(2))  # the law's own slope at the proxy
    assert any("what a doubling of compute buys was measured over width" in limit for limit in batch.limits)


def trial(size: Size, point: Point, flops: float | None = None) -> Trial:
    """The trial behind a point."""
    return Trial(
        f"{size}-{point.x}-{point.seed}",
        size,
        {"learning_rate": 2**point.x},
        point.seed,
        TrialState.COMPLETE,
        point.loss,
        flops=point.flops if flops is None else flops,
    )


@cache
def stored(name: str) -> tuple[tuple[tuple[int, float, int, float, float], ...], float]:
    """The runs of a recipe that ships over width: (size, value, seed, loss, flops), and the carried value."""
    with (LADDERS / f"{name}.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["axis"] == "width"]
    index = json.loads((LADDERS / "index.json").read_text("utf-8"))
    kept = tuple(
        (int(r["size"]), float(r["learning_rate"]), int(r["seed"]), float(r["loss"]), float(r["flops"])) for r in rows
    )
    return kept, float(index[name]["axes"]["width"]["transferred"])


#: nine ways to write a loss; those of the first kind are a shift and a factor
UNITS: dict[str, Callable[[float], float]] = {
    "nats": lambda loss: loss,
    "bits": lambda loss: loss / math.log(2),
    "nats per token": lambda loss: 3.7 * loss,
    "x 1000": lambda loss: 1000 * loss,
    "+ 8": lambda loss: loss + 8,
    "- 2.1": lambda loss: loss - 2.1,
    "perplexity": math.exp,
    "1 - exp(-loss)": lambda loss: 1 - math.exp(-loss),
    "squared": lambda loss: loss**2,
}
#: what is said is the same to rounding
LINEAR = ("bits", "nats per token", "x 1000", "+ 8", "- 2.1")


def in_unit(name: str, unit: str, cost: float) -> AxisReport:
    """The stored runs, judged with their losses in another unit."""
    rows, transferred = stored(name)
    groups: dict[float, list[Point]] = {}
    for size, value, seed, loss, flops in rows:
        groups.setdefault(size, []).append(Point(math.log2(value), seed, UNITS[unit](loss), flops=flops))
    return judge_ladder(
        dict(sorted(groups.items())),
        axis="width",
        hyperparameter="learning_rate",
        transferred=transferred,
        reference=64,
        criteria=TransferCriteria(cost=cost),
    )


@pytest.mark.parametrize(
    ("name", "cost"),
    [("quickstart", 0.25), ("quickstart", 0.5), ("quickstart", 1.0), ("quickstart-standard", 0.5)],
)
def test_nine_units_one_verdict(name: str, cost: float) -> None:
    """Linear units are the same numbers; others agree unless an interval touches the bound, which every page says.

    It does so under the default bound, where perplexity is open and all other units carry over.
    """
    reports = {unit: in_unit(name, unit, cost) for unit in UNITS}
    touching = [any("close to the allowed" in limit for limit in report.limits) for report in reports.values()]

    assert len({reports[unit].verdict for unit in ("nats", *LINEAR)}) == 1
    assert len({report.verdict for report in reports.values()}) == 1 or all(touching)
    assert any(touching) is (name == "quickstart" and cost == 0.5)
    plain = ends(reports["nats"])
    for unit, report in reports.items():
        if unit in LINEAR:
            np.testing.assert_allclose(ends(report), plain, rtol=1e-3)
        else:  # a nonlinear unit bends curves and laws: the largest upper end may be half as much again
            np.testing.assert_allclose(ends(report), plain, atol=0.02, rtol=0.5)


def ends(report: AxisReport) -> list[float]:
    """Upper ends of the costs, and their estimates."""
    return [end for size in report.sizes for end in (size.cost.estimate, size.cost.high)]


def test_an_end_close_to_the_bound_is_said_to_depend_on_the_unit() -> None:
    """The largest upper end of the quickstart's cost lies within a fifth of one bound, and not of twice it."""
    highest = max(size.cost.high for size in in_unit("quickstart", "nats", 0.25).sizes)
    close, far = (in_unit("quickstart", "nats", bound) for bound in (highest * 1.1, highest * 2))
    said = "with the loss in a unit that is no multiple of this one"

    assert any(said in limit for limit in close.limits)
    assert not any(said in limit for limit in far.limits)


def test_a_known_deviation_takes_the_place_of_seeds() -> None:
    """One seed: the deviation is open above, unless it was given."""
    groups = runs([0.0] * 4, noise=0.001, seeds=1)

    assert judged(groups).unit.deviation.high == math.inf
    assert judged(groups, noise=0.02).unit.deviation == Interval(0.02, 0.02, 0.02)

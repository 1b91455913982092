"""What runs took in compute, from the columns of a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hptransfer.checking.judge_table import TableQuestion, judge_table, parse_criteria
from hptransfer.errors import UsageError
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport
from hptransfer.verdict import Verdict

#: header -> cells of a row, from the width
COLUMNS: dict[str, tuple[str, Callable[[int], str]]] = {
    "nothing": ("", lambda width: ""),
    "compute": (",flops", lambda width: f",{3e12 * (width / 64) ** 2:g}"),
    "parameters": (",parameters", lambda width: f",{12 * width**2}"),
    "parameters and tokens": (",parameters,tokens", lambda width: f",{12 * width**2},{20 * 12 * width**2}"),
    "the same tokens": (",parameters,tokens", lambda width: f",{12 * width**2},1000000"),
}


def judged(folder: Path, columns: str, question: TableQuestion | None = None, gain: float = 0.02) -> AxisReport:
    """Widths 64 to 512 whose losses fall by `gain` per doubling, two seeds, hardly any noise."""
    header, cells = COLUMNS[columns]
    rng = np.random.default_rng(0)
    lines = [f"width,lr,seed,loss{header}"]
    for step, width in enumerate((64, 128, 256, 512)):
        for x in np.arange(-10, -5.9, 0.5):
            for seed in range(2):
                loss = 3 - gain * step + 0.02 * (x + 8) ** 2 + 0.02 * seed + 0.0005 * rng.standard_normal()
                lines.append(f"{width},{float(2.0**x)!r},{seed},{float(loss)!r}{cells(width)}")
    table = folder / "runs.csv"
    table.write_text("\n".join(lines) + "\n")
    return judge_table(table, question).slices[0].groups[0].report


@pytest.mark.parametrize(
    ("columns", "of", "doublings"),
    [
        ("nothing", "width", 3),
        ("compute", "compute", 6),
        ("parameters", "width", 3),  # nothing is known of how long they were trained
        ("parameters and tokens", "compute", 12),
        ("the same tokens", "compute", 6),
    ],
)
def test_a_table_says_what_its_sizes_take(tmp_path: Path, columns: str, of: str, doublings: float) -> None:
    """From width 64 to 512: 3 doublings of width, 6 of compute in proportion to its square, 12 with the tokens too."""
    unit = judged(tmp_path, columns).unit

    assert unit.of == of
    assert unit.rate is not None
    assert float(np.ptp(unit.rate.at)) == pytest.approx(doublings)


def test_bounds_come_with_the_question(tmp_path: Path) -> None:
    """Width gains nothing: undecided in doublings, decided in deviations between seeds where they are bounded."""
    assert judged(tmp_path, "nothing", gain=0.0).verdict is Verdict.INCONCLUSIVE
    chosen = TableQuestion(criteria=parse_criteria("off", deviations=1.0))
    report = judged(tmp_path, "nothing", chosen, gain=0.0)

    assert report.verdict is Verdict.TRANSFERS
    assert report.criteria == TransferCriteria(cost=None, deviations=1.0)
    assert "allowed 1 deviation)" in report.sentence


def test_options_say_what_they_take() -> None:
    """A number or off, positive, and some bound."""
    assert parse_criteria() == TransferCriteria()
    assert parse_criteria("0.1", drift=0.2, regret=0.01, noise=0.005) == TransferCriteria(
        cost=0.1, drift=0.2, regret=0.01, noise=0.005
    )
    for options, message in (
        ({"cost": "cheap"}, "a number of doublings, or off"),
        ({"cost": "off"}, "received: --cost off; hint: add `--deviations`"),
        ({"cost": "-1"}, "cost > 0"),
        ({"cost": "nan"}, "cost > 0"),
        ({"deviations": math.inf}, "deviations > 0"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_criteria(**options)


def test_compute_that_was_worked_out_is_said(tmp_path: Path) -> None:
    """Costs in doublings of compute from parameters x tokens rest on an estimate, which no column says."""
    for columns, said in (("parameters and tokens", True), ("parameters", False), ("compute", False)):
        judged(tmp_path, columns)
        (part,) = judge_table(tmp_path / "runs.csv").slices
        notes = [note for note in part.roles.inferred if note.startswith("compute: 6 x ")]
        assert bool(notes) == said
        assert not said or "an estimate" in notes[0]


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ("perplexity", "perplexity"),
        ("ppl", "ppl"),
        ("val_ppl", "val_ppl"),
        ("eval/perplexity,train_perplexity", "eval/perplexity"),
        ("bpb", "bpb"),
        ("perplexity,loss", "loss"),
        ("val_ppl,train_loss", "train_loss"),
    ],
)
def test_perplexity_is_a_loss_where_no_column_is_called_one(tmp_path: Path, columns: str, chosen: str) -> None:
    """Less of it is better too (docs/results.md); a loss is taken first, as before."""
    names = columns.split(",")
    table = tmp_path / "named.csv"
    rows = [
        f"{width},{lr!r}," + ",".join(f"{20 - step + abs(lr - 0.004) + place}" for place in range(len(names)))
        for step, width in enumerate((64, 128, 256))
        for lr in (0.001, 0.002, 0.004, 0.008, 0.016)
    ]
    table.write_text("\n".join([f"width,lr,{columns}", *rows]) + "\n")
    (part,) = judge_table(table).slices

    assert part.roles.loss == chosen
    assert not part.roles.maximize

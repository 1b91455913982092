"""Tables as people export them, each with the verdict that its construction gives (docs of the cases)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from tests.support.judged_tables import judged, ladder_of

CASES = Path(__file__).parents[1] / "data" / "tables"


def judge(case: str, *options: str) -> Result:
    """Judges one of the files."""
    return CliRunner().invoke(app, ["judge", str(CASES / case), *options])


def drift_of(document: dict[str, Any]) -> tuple[float, float]:
    """Interval of the drift, octaves per doubling."""
    drift = document["groups"][0]["drift"]
    return drift["low"], drift["high"]


def test_thousands_commas_are_thousands() -> None:
    """The widths "1,000" to "4,000" are those of the plain file, whose optimum moves -0.30 octaves per doubling."""
    result = judge("01-thousands-comma/runs.csv", "--json")
    plain = judged(judge("01-thousands-comma/reference.csv", "--json"))

    assert result.exit_code == 1
    found = judged(result)
    assert ladder_of(found) == [250, 500, 1000, 2000, 4000]
    assert found["groups"] == plain["groups"]
    low, high = drift_of(found)
    assert low <= -0.30 <= high
    assert "column width: 1,000 is read as 1000" in result.stderr


def test_a_history_is_refused_with_the_option_that_reads_it() -> None:
    """The hint names the column of runs, and pasted it works."""
    refused = judge("10-history-last-row/history.csv")

    assert refused.exit_code == 2
    assert "one row per run" in refused.stderr
    assert "--run-column run_id" in refused.stderr


def test_the_last_row_of_each_run_is_judged() -> None:
    """Every width has its own number of steps, 300 times the square of the width's ratio; the optimum stays."""
    result = judge("10-history-last-row/history.csv", "--run-column", "run_id", "--json")
    found = judged(result)

    assert result.exit_code == 0
    assert found["rows"] == {
        "read": 440,
        "used": 110,
        "diverged": 0,
        "left_out": {"that are no run's last": 330},
    }
    low, high = drift_of(found)
    assert low <= 0 <= high
    assert "each width has its own step: 300 at 64" in result.stderr


@pytest.mark.parametrize("name", ["pivot.csv", "pivot.md"])
def test_a_pivot_is_read_as_rows(name: str) -> None:
    """Rows of learning rates, columns of widths (numbers of microsoft/mup #66): the optimum falls with the size."""
    result = judge(f"11-wide-tables/{name}", "--json")
    found = judged(result)

    assert ladder_of(found) == [96, 192, 384, 768]
    assert found["rows"] == {"read": 20, "used": 19, "diverged": 1, "left_out": {"without a loss": 1}}
    # the lowest loss of each column, by eye: 2^-9, 2^-10, 2^-11, 2^-11; two places down over three doublings
    low, high = drift_of(found)
    assert high < -0.3
    assert low > -1.5
    assert "are read as rows of size and loss" in result.stderr
    named = judge(f"11-wide-tables/{name}", "--wide", "width", "--json")
    assert judged(named)["columns"]["axis"] == "width"
    assert judged(named)["groups"][0]["drift"] == found["groups"][0]["drift"]


@pytest.mark.parametrize("options", [[], ["--name-pattern", "w{width}-lr{lr}-s{seed}"]])
def test_a_panel_is_read_by_its_names(options: list[str]) -> None:
    """13 runs of width 64 at rates from 0.000691 to 0.00552, two seeds; the last of seven steps counts."""
    result = judge("11-wide-tables/panel.csv", "--json", *options)
    found = judged(result)

    assert result.exit_code == 3  # one width
    assert ladder_of(found) == [64]
    assert found["columns"]["loss"] == "eval/loss"
    assert found["columns"]["seed"] == "seed"
    assert found["rows"]["used"] == 13
    assert found["rows"]["left_out"] == {"that are no run's last": 78}
    optimum = found["groups"][0]["sizes"][0]["optimum"]
    assert optimum["low"] <= -8 <= optimum["high"]  # constructed at 2^-8


def test_optunas_own_export_is_understood() -> None:
    """params_ and user_attrs_ are prefixes, `value` is the objective, and only complete trials count."""
    result = judge("12-optuna-own-export/trials.csv", "--json")
    found = judged(result)

    assert result.exit_code == 0
    assert found["columns"]["axis"] == "width"
    assert found["columns"]["hyperparameter"] == "learning_rate"
    assert found["columns"]["loss"] == "value"
    assert found["columns"]["seed"] == "user_attrs_seed"
    assert found["rows"]["used"] == 97  # the file has 97 COMPLETE, 9 PRUNED, 4 FAIL
    low, high = drift_of(found)
    assert low <= 0 <= high


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mult.csv", [0.25, 0.5, 1, 2, 4]),
        ("millions.csv", [50.3808, 201.5232, 806.0928, 3224.3712, 12897.4848]),
    ],
)
def test_fractions_are_sizes(name: str, sizes: list[float]) -> None:
    """Ratios are all a verdict needs: the columns are inferred, the sizes are what stands there, and it transfers."""
    result = judge(f"13-fractional-sizes/{name}", "--json")

    assert result.exit_code == 0
    assert ladder_of(judged(result)) == sizes


def test_logarithms_that_say_their_base_are_converted() -> None:
    """Constructed optimum 2^-8 at every width."""
    result = judge("14-log-columns/lr_log2.csv", "--json")
    found = judged(result)

    assert result.exit_code == 0
    assert found["columns"]["base"] == 2
    for size in found["groups"][0]["sizes"]:
        assert size["optimum"]["value"] == pytest.approx(2**-8, rel=0.05)
    assert "lr_log2 holds logarithms to base 2" in result.stderr


def test_logarithms_of_unknown_base_are_refused_until_it_is_said() -> None:
    """log_lr holds natural logarithms; said so, the optimum is 2^-8."""
    for options in ([], ["--value-column", "log_lr"]):
        refused = judge("14-log-columns/log_lr.csv", *options)
        assert refused.exit_code == 2
        assert "logarithms must say their base" in refused.stderr
        assert "--log-base" in refused.stderr

    found = judged(judge("14-log-columns/log_lr.csv", "--log-base", "e", "--json"))
    assert found["verdict"] == "TRANSFERS"
    for size in found["groups"][0]["sizes"]:
        assert size["optimum"]["value"] == pytest.approx(2**-8, rel=0.05)

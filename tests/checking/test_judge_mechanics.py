"""`judge` of tables: groups against each other, and batch sizes that reach one loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app

Judge = Callable[..., Result]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Writes rows and judges them."""

    def call(header: str, rows: Sequence[Sequence[object]], *options: str) -> Result:
        path = tmp_path / "runs.csv"
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
        return CliRunner().invoke(app, ["judge", str(path), *options])

    return call


def document(result: Result) -> dict[str, Any]:
    """The JSON on stdout."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def groups(penalty: float) -> list[Sequence[object]]:
    """use_mup true and false over widths, the second with more loss and an optimum that falls."""
    rng = np.random.default_rng(0)
    return [
        (use_mup, width, 2.0**x, seed,
         2 + (width / 64) ** -0.5 + (0 if use_mup == "true" else penalty)
         + 0.1 * (x + 8 + (0 if use_mup == "true" else 0.5 * math.log2(width / 64))) ** 2
         + 0.001 * float(rng.standard_normal()))
        for use_mup in ("true", "false") for width in (64, 128, 256, 512)
        for x in np.arange(-12, -5.5, 0.5) for seed in range(3)
    ]  # fmt: skip


def test_groups_are_compared_at_every_size(judge: Judge) -> None:
    """0.1 more without muP at each width, and at infinite width: in the document and in words."""
    result = judge("use_mup,width,lr,seed,loss", groups(0.1), "--group-column", "use_mup", "--json")
    (penalty,) = document(result)["penalties"]

    assert (penalty["group"], penalty["against"], penalty["unit"]) == ("false", "true", "width")
    assert [each["size"] for each in penalty["sizes"]] == [64, 128, 256, 512]
    for each in penalty["sizes"]:
        assert each["loss"]["low"] <= 0.1 <= each["loss"]["high"]
    assert penalty["asymptote"]["low"] > 0
    text = judge("use_mup,width,lr,seed,loss", groups(0.1), "--group-column", "use_mup").stdout
    assert "false against true, best loss against best loss" in " ".join(text.split())
    assert "stays above at infinite width" in " ".join(text.split())


def test_values_at_which_wider_is_worse_are_listed(judge: Judge) -> None:
    """Without muP the optimum falls, so rates above it end higher at larger widths; with muP none does."""
    found = document(judge("use_mup,width,lr,seed,loss", groups(0.0), "--group-column", "use_mup", "--json"))
    by_group = {group["group"]: group["fixed_values"] for group in found["groups"]}

    assert by_group["true"]["rises"] == []
    assert by_group["true"]["never_worse"] is True
    assert by_group["false"]["never_worse"] is False
    worst = max(by_group["false"]["rises"], key=lambda rise: rise["value"])
    assert worst["value"] == 2.0**-6
    # from 256 to 512: 0.1 (3.5^2 - 3^2) for the bowl, 8^-0.5 - 4^-0.5 for the gain of the width: 0.1786
    assert (worst["low"], worst["high"]) in {(256, 512), (64, 512)}
    assert worst["by"]["low"] > 0


def needed(law: Callable[[float], float]) -> list[Sequence[object]]:
    """Steps to one loss over batch sizes and learning rates: fewest at a rate that grows with the batch."""
    rng = np.random.default_rng(1)
    return [
        (batch, 2.0**x, seed, round(law(batch) * (1 + 0.2 * (x + 8 - 0.5 * math.log2(batch / 8)) ** 2)
                                    * math.exp(0.01 * float(rng.standard_normal()))))
        for batch in (8, 32, 128, 512, 2048) for x in np.arange(-11, -1, 0.5) for seed in range(2)
    ]  # fmt: skip


def test_steps_to_one_loss_give_the_critical_batch(judge: Judge) -> None:
    """Smin 1,000 steps and a critical batch of 128: both lie in their intervals."""
    rows = needed(lambda batch: 1000 * (1 + 128 / batch))
    found = document(judge("batch_size,lr,seed,steps_to_target", rows, "--loss-column", "steps_to_target", "--json"))
    (tradeoff,) = found["tradeoffs"]
    law = tradeoff["hyperbola"]

    assert law["fit"] == "holds"
    assert law["critical_batch"]["low"] <= 128 <= law["critical_batch"]["high"]
    assert law["fewest_steps"]["low"] <= 1000 <= law["fewest_steps"]["high"]
    assert "critical batch" in tradeoff["sentence"]


def test_steps_that_follow_another_law_are_told(judge: Judge) -> None:
    """Steps as the batch to the power -1/2 over 256x."""
    rows = needed(lambda batch: 40_000 * batch**-0.5)
    result = judge("batch_size,lr,seed,steps_to_target", rows, "--loss-column", "steps_to_target")

    assert "does not hold" in " ".join(result.stdout.split())
    assert "no critical batch is given" in " ".join(result.stdout.split())


def test_runs_of_several_lengths_are_read_at_one_loss(judge: Judge) -> None:
    """Losses 2 + (1000 (1 + 128 / B) / S)^0.3 by group of steps: the critical batch is 128 again."""
    rows = [
        (steps, batch, 2.0**x, 2 + (1000 * (1 + 128 / batch) / steps) ** 0.3 + 0.05 * (x + 8) ** 2 + 1e-4 * seed)
        for steps in (500, 1000, 2000, 4000, 8000, 16000) for batch in (8, 32, 128, 512, 2048)
        for x in np.arange(-10, -5.5, 0.5) for seed in range(2)
    ]  # fmt: skip
    found = document(judge("steps,batch_size,lr,loss", rows, "--group-column", "steps", "--json"))
    (tradeoff,) = found["tradeoffs"]

    assert "penalties" not in found
    assert tradeoff["reached"] >= 4
    assert tradeoff["hyperbola"]["critical_batch"]["estimate"] == pytest.approx(128, rel=0.25)
    assert tradeoff["loss"] > 2


def test_an_ordinary_ladder_of_batches_says_nothing_of_it(judge: Judge) -> None:
    """Losses at one length are no steps to a loss."""
    rows = [(batch, 2.0**x, seed, 3 + 0.05 * (x + 8) ** 2 + 0.001 * seed)
            for batch in (8, 32, 128, 512) for x in np.arange(-10, -5.5, 0.5) for seed in range(2)]  # fmt: skip
    found = document(judge("batch_size,lr,seed,loss", rows, "--json"))

    assert "tradeoffs" not in found
    assert "fixed_values" not in found["groups"][0]

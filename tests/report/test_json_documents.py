"""Reports as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from hptransfer.diagnostics.coordinate import Measurement, judge_coordinates
from hptransfer.report.json_documents import to_document, transfer_document
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.judge import TransferReport, judge
from tests.support.synthetic_ladders import GRID, ladder, parabola


@pytest.fixture(scope="module")
def report() -> TransferReport:
    """A ladder whose largest width has its optimum beyond the grid, so that infinities are at hand."""
    losses = [parabola, parabola, parabola, lambda x: parabola(x - 3)]
    return judge(
        ladder(losses, xs=GRID, noise=0.001),
        proxy=Size(64, 2, 64, 64_000),
        hyperparameter="learning_rate",
        transferred=2**-8,
    )


def _document(report: TransferReport) -> dict[str, Any]:
    rows = [Measurement(n, seed, 1, "hidden", "hidden", 0.1) for n in (64, 128) for seed in range(2)]
    return transfer_document(
        report,
        recipe="quickstart",
        recipe_hash="ab" * 32,
        coordinate=[judge_coordinates(rows)],
        provenance={"torch": "2.13.0"},
    )


def test_a_document_is_strict_json(report: TransferReport) -> None:
    """No NaN, no Infinity: any JSON reader takes it, and it survives the round trip."""
    document = _document(report)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_open_ends_are_null_and_flagged() -> None:
    """Infinity becomes null, and `bounded` says that it was not merely missing."""
    assert to_document(Interval(0.1, -math.inf, 0.2)) == {
        "estimate": 0.1,
        "low": None,
        "high": 0.2,
        "bounded": False,
    }


def test_the_keys_are_promised(report: TransferReport) -> None:
    """Other commands and other people's scripts read these."""
    document = _document(report)
    assert list(document) == [
        "format",
        "recipe",
        "recipe_hash",
        "verdict",
        "sentence",
        "hyperparameter",
        "transferred",
        "hyperparameters",
        "interactions",
        "criteria",
        "checked",
        "axes",
        "coordinate",
        "linearisation",
        "sharpness",
        "noise_scale",
        "collapse",
        "adaptive",
        "provenance",
    ]
    assert document["checked"] == {"widths": [64, 128, 256, 512], "depths": [], "batch_sizes": [], "tokens": []}
    (axis,) = document["axes"]
    assert axis["verdict"] == document["verdict"] == "DRIFTS"
    assert axis["sizes"][3]["optimum"]["edge"] == "high"
    assert axis["sizes"][3]["optimum"]["high"] is None


def test_an_optimum_is_given_in_its_own_unit_as_well(report: TransferReport) -> None:
    """Readers need not take powers of two."""
    optimum = to_document(report.axes[0].sizes[0].optimum)
    assert optimum["value"] == pytest.approx(2 ** optimum["log2_value"])


def test_other_data_is_refused() -> None:
    """A document never holds what a reader cannot rebuild."""
    with pytest.raises(TypeError, match="plain data, but got object"):
        to_document(object())

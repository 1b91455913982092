"""The coordinate check of models whose `forward` does what no plan expects: cause and repair named, and repaired flat.

Widths over a factor of 16 confirm a correct decoder (docs/coordinate-check.md); those tests are slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from hptransfer.diagnostics._diagnosis import Cause
from hptransfer.diagnostics.coordinate import CoordinateReport
from hptransfer.statistics.slope import RowVerdict
from tests.support.coordinate_checks import checked
from tests.support.tiny import recipe

WRITERS = [r"blocks\.\d+\.(proj\.weight|down\.(weight|bias))"]
HERE = "tests.support."


def report_of(
    factory: str,
    axis: Literal["width", "depth"] = "width",
    lengths: Sequence[int] = (64, 128),
    *,
    rule: str = "mup",
    seeds: int = 2,
    steps: Sequence[int] = (1, 3, 10),
    **model: Any,
) -> CoordinateReport:
    """A check of a model of the zoo, or of one of its repairs."""
    made = recipe(
        model={"kind": "factory", "factory": HERE + factory, "context": 16, "embedding": None, **model},
        parameterization={"name": rule},
        training={"steps": 20},
        check={"coordinate": {"seeds": seeds, "steps": list(steps)}},
        sizes={"base": {"width": 64, "depth": 2}, "widths": [64, 128]},
    )
    return checked(made, axis, lengths)


def test_a_factor_in_forward_is_the_cause() -> None:
    """With the plan's back to it the check FAILS, and says what `forward` multiplies, where, and what to do."""
    report = report_of("zoo:embed_factor", probe=False)
    first = report.faults[0]

    assert report.verdict is RowVerdict.FAILS
    assert (first.cause, first.parameters, first.power) == (Cause.FORWARD, ("tok.weight",), 0.5)
    assert "`forward` multiplies the output of tok.weight by width^0.5 at zoo.py:" in report.sentence
    assert "leave `probe` on, so that the plan takes it into account, or divide by (width/64)^0.5" in report.sentence


def test_a_compensated_factor_is_no_fault() -> None:
    """The table moves as width^-0.5 because `forward` multiplies by its inverse: that is what is expected of it."""
    report = report_of("zoo:embed_factor", lengths=(64, 128, 256))
    (table,) = [row for row in report.parameters if row.name == "tok.weight"]

    assert report.verdict is not RowVerdict.FAILS, report.sentence
    assert table.expected_update == table.expected_initial == -0.5
    assert table.verdict is RowVerdict.HOLDS


def test_a_norm_behind_a_writer_is_the_cause() -> None:
    """The factor of depth in projections whose norm removes it: the stream's change grows, and the norm is named."""
    report = report_of("zoo:post_norm", "depth", (2, 4, 8), rule="completep", probe=False, residual_writers=WRITERS)

    assert report.verdict is RowVerdict.FAILS
    assert {fault.cause for fault in report.faults} == {Cause.NORM}
    assert "a norm stands between blocks.*.proj.weight and the residual stream" in report.sentence
    assert "puts it into blocks.*.n1.weight, blocks.*.n1.bias" in report.sentence


@pytest.mark.parametrize("name", ["fixed_heads", "mha"])
def test_attention_is_the_cause(name: str) -> None:
    """However it is written: the place, and the repair."""
    report = report_of(f"zoo:{name}")
    (fault,) = [each for each in report.faults if each.cause is Cause.ATTENTION]

    assert report.verdict is RowVerdict.FAILS
    assert fault.power == pytest.approx(0.5)
    assert "at zoo.py:" in fault.sentence
    assert "multiply them by sqrt(base_head_dim)/head_dim there, or keep the size of a head" in fault.sentence


@pytest.mark.parametrize("name", ["fixed_heads_scaled", "fixed_heads_more", "mha_more"])
def test_repaired_attention_has_no_fault(name: str) -> None:
    """Either repair that is printed takes the fault away."""
    assert not report_of(f"zoo_repairs:{name}").faults


@pytest.mark.slow
def test_post_norm_holds_in_depth() -> None:
    """The factor lies on the gain."""
    report = report_of("zoo:post_norm", "depth", (2, 4, 8), rule="completep", seeds=3)

    assert report.verdict is RowVerdict.HOLDS, report.sentence


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zoo:embed_factor", "zoo_repairs:fixed_heads_more", "zoo_repairs:mha_more"])
def test_repaired_models_hold_in_width(name: str) -> None:
    """The factor is compensated; heads grow in number. Width is judged at steps 1 and 3."""
    report = report_of(name, lengths=(64, 128, 256, 512, 1024), seeds=4, steps=(1, 3))

    assert report.verdict is RowVerdict.HOLDS, report.sentence

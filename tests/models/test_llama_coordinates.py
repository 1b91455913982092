"""The coordinate check of an unmodified Llama: flat under muP and CompleteP, not under the standard parameterization.

Bands and statistics of science.md 1.1 and 1.3. The readout starts at zero where logits are judged from the first step,
because a random readout contributes width^-1/2 at small widths; then the layers below receive no gradient in the
first step and are judged with a random readout instead. In depth the residual stream after the last block and the
logits are judged, relative to init, as there: the first block reads x + F/L, whose change falls towards that of x by
design, and pre-activations inside a block carry the same terms of order 1/L (a wider band, measured 0.19 here).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hptransfer.data.stdlib_text import StdlibText
from hptransfer.diagnostics._coordinate_rows import CoordinateRow, Measurement
from hptransfer.diagnostics.coordinate import judge_coordinates
from hptransfer.models.api import plan
from hptransfer.models.build import build_model
from hptransfer.models.shape_reading import layer_kinds
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training.batches import Batches
from hptransfer.training.coordinates import measure_coordinates
from hptransfer.training.data import load_batches
from hptransfer.training.loop import TrainingSettings

pytest.importorskip("transformers", reason="needs the extra `hf`")

HYPERPARAMETERS = {"learning_rate": 2**-8, "eps": 1e-12}
SETTINGS = TrainingSettings(steps=10, batch_size=8, context=32)
ZERO_READOUT = {r"lm_head\.weight": "readout, zeros"}


@pytest.fixture(scope="module")
def corpus() -> Batches:
    """The standard library's own text."""
    return load_batches(StdlibText(kind="stdlib-text"), Path())


def llama(roles: dict[str, str]) -> HuggingFaceModel:
    """A Llama of width 64 with two query heads per key-value head."""
    return HuggingFaceModel(
        kind="huggingface",
        config="llama",
        settings={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 256,
            "max_position_embeddings": 64,
            "use_cache": False,
        },
        roles=roles,
    )


def rows(
    parameterization: str,
    axis: str,
    corpus: Batches,
    sizes: Sequence[int],
    roles: dict[str, str] | None = None,
    seeds: int = 2,
) -> list[CoordinateRow]:
    """The rows of a check along one axis, from width 64 and depth 2."""
    model = llama(roles or {})
    measured = []
    for size in sizes:
        width, depth = (size, 2) if axis == "width" else (64, size)
        planned = plan(
            model,
            base=(64, 2),
            target=(width, depth),
            hyperparameters=HYPERPARAMETERS,
            parameterization=parameterization,
            init="rule",
        )
        kinds = layer_kinds([row.parameter for row in planned.rows])
        for seed in range(seeds):
            module = build_model(model, width, depth)
            planned.init_(module, seed)
            groups = planned.param_groups(module)
            for entry in measure_coordinates(module, groups, corpus, SETTINGS, seed, (1, 3, 10), kinds)["layers"]:
                measured.append(
                    Measurement(
                        size,
                        seed,
                        entry["step"],
                        entry["layer"],
                        entry["kind"],
                        entry["change"],
                        entry["initial"] or None,
                    )
                )
    axes = {"width": "width", "depth": "depth"}
    return list(judge_coordinates(measured, axis=axes[axis]).rows)  # type: ignore[arg-type]  # one of the two


def slopes(found: list[CoordinateRow], steps: tuple[int, ...], kinds: str) -> dict[str, float]:
    """Slope by layer and step."""
    return {f"{row.layer}@{row.step}": row.slope for row in found if row.step in steps and row.kind in kinds.split()}


@pytest.mark.slow
@pytest.mark.parametrize("parameterization", ["mup", "completep"])
def test_flat_in_width(parameterization: str, corpus: Batches) -> None:
    """Every layer moves by the same amount at widths 64 to 512: |slope| <= 0.15 at steps 1, 3 and 10."""
    found = rows(parameterization, "width", corpus, (64, 128, 256, 512))
    with_zero_readout = rows(parameterization, "width", corpus, (64, 128, 256, 512), ZERO_READOUT)

    below = slopes(found, (1, 3, 10), "embedding hidden branch residual")
    assert len(below) == 3 * (1 + 2 * 8)
    logits = slopes(with_zero_readout, (1, 3, 10), "logits")
    assert len(logits) == 3
    assert max(map(abs, [*below.values(), *logits.values()])) <= 0.15


def test_the_standard_parameterization_is_not_flat_in_width(corpus: Batches) -> None:
    """Negative control: one Adam step moves hidden pre-activations as width^1 (theory +1), and the check FAILS."""
    found = rows("standard", "width", corpus, (64, 128, 256))
    hidden = slopes(found, (1,), "hidden")

    assert len(hidden) == 10
    assert all(0.7 <= slope <= 1.2 for name, slope in hidden.items() if "layers.0.self_attn" in name)
    assert RowVerdict.FAILS in {row.verdict for row in found if row.judged}


def test_mup_is_flat_in_width_over_two_doublings(corpus: Batches) -> None:
    """The quick form of the check of muP, over two doublings, beside the negative control."""
    found = rows("mup", "width", corpus, (64, 128, 256))

    assert max(map(abs, slopes(found, (1, 3, 10), "embedding hidden branch residual").values())) <= 0.15


@pytest.mark.slow
def test_completep_is_flat_in_depth(corpus: Batches) -> None:
    """Stream and logits move by the same amount at depths 2 to 16: |slope| <= 0.15 at steps 3 and 10."""
    found = [row for row in rows("completep", "depth", corpus, (2, 4, 8, 16)) if "layers.first" not in row.layer]
    stream, inside = slopes(found, (3, 10), "residual logits"), slopes(found, (3, 10), "hidden")

    assert len(stream) == 4
    assert len(inside) == 10
    assert max(map(abs, stream.values())) <= 0.15
    assert max(map(abs, inside.values())) <= 0.25


@pytest.mark.slow
@pytest.mark.parametrize("parameterization", ["standard", "mup"])
def test_depth_without_a_rule_is_not_flat(parameterization: str, corpus: Batches) -> None:
    """Negative control: without a rule for depth the stream's relative change grows with it, and the check FAILS."""
    found = rows(parameterization, "depth", corpus, (2, 4, 8, 16), seeds=3)
    (last,) = [row for row in found if row.layer == "model.layers.last" and row.step == 3]

    assert last.slope >= 0.3
    assert last.verdict is RowVerdict.FAILS

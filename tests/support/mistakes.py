"""Ten mistakes that people make, planted in small models; the coordinate check has to name each.

A mistake edits the rows of a correct plan, or the model where the mistake is one of `forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn  # noqa: TC002  # annotations are read by dataclasses

from hptransfer.diagnostics._update_scaling import read_parameters
from hptransfer.diagnostics.coordinate import CoordinateReport, judge_coordinates, read_layers
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.gpt import Gpt, rotary_angles
from hptransfer.models.mlp import Mlp
from hptransfer.parameterization.plan import PlannedParameter, plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from hptransfer.training.coordinates import measure_coordinates
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings
from tests.support.reading import read_module

BASE_WIDTH, BASE_DEPTH = 64, 2
CONTEXT = 16
VALUES = {"learning_rate": 0.005, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1e-8}

Row = PlannedParameter
#: what a mistake does to one row; the multiplier of width, the multiplier of depth
Edit = Callable[[Row, float, float], Row]


def mlp(width: int, depth: int) -> nn.Module:
    """The package's layer-normed MLP."""
    return Mlp(width, depth, context=CONTEXT, embedding=16)


def gpt(width: int, depth: int) -> nn.Module:
    """The package's decoder with heads of 16."""
    return Gpt(width, depth, context=CONTEXT, head_dim=16)


def few_heads(width: int, depth: int) -> nn.Module:
    """A decoder whose four heads grow with the width, and still divide by sqrt(head_dim)."""
    return Gpt(width, depth, context=CONTEXT, head_dim=width // 4)


class TiedGpt(Gpt):
    """A decoder that reads out with its embedding table, unscaled."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth, context=CONTEXT, head_dim=16)
        self.readout.weight = self.embedding.weight


class LoudGpt(Gpt):
    """A decoder whose `forward` multiplies what every block adds by sqrt(depth / 2), whatever the plan says."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth, context=CONTEXT, head_dim=16)

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of the next byte at every position."""
        loudness = (len(self.blocks) / BASE_DEPTH) ** 0.5
        x_BxTxD = self.embedding(tokens_BxT)
        angles_TxK = rotary_angles(tokens_BxT.shape[1], self.head_dim, x_BxTxD)
        for block in self.blocks:
            x_BxTxD = x_BxTxD + loudness * (block(x_BxTxD, angles_TxK) - x_BxTxD)
        logits_BxTxV: Tensor = self.readout(self.final_norm(x_BxTxD))
        return logits_BxTxV


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, and where.

    Attributes:
        build: makes the model that is trained.
        edit: changes the rows of a correct plan; nothing where the model is at fault.
        parameterization: of the correct plan.
        axis: along which the check is made.
        values: hyperparameters that differ from `VALUES`.
    """

    build: Callable[[int, int], nn.Module] = mlp
    edit: Edit = lambda row, width, depth: row
    parameterization: str = "mup"
    axis: Literal["width", "depth"] = "width"
    values: tuple[tuple[str, float], ...] = ()


def _where(name: str, edit: Edit) -> Edit:
    return lambda row, width, depth: edit(row, width, depth) if name in row.parameter.name else row


def _rate(power: float) -> Edit:
    return lambda row, width, depth: replace(row, learning_rate=row.learning_rate * width**power)


def _std(power: float) -> Edit:
    return lambda row, width, depth: replace(row, init_std=row.init_std and row.init_std * width**power)


def _both(first: Edit, second: Edit) -> Edit:
    return lambda row, width, depth: second(first(row, width, depth), width, depth)


def _no_residual_multiplier(row: Row, _width: float, depth: float) -> Row:
    """Alpha = 1 in the plain gauge divides init and learning rate of what writes the stream by the depth; undo it."""
    if not row.parameter.writes_residual or row.init_std is None:
        return row
    return replace(row, init_std=row.init_std * depth, learning_rate=row.learning_rate * depth)


def _constant_eps(row: Row, _width: float, _depth: float) -> Row:
    return replace(row, eps=1e-3)


def _falling_decay(row: Row, _width: float, _depth: float) -> Row:
    return replace(row, weight_decay=0.1)


MISTAKES: dict[str, Mistake] = {
    "readout not scaled": Mistake(edit=_where("readout.weight", _both(_rate(1.0), _std(0.5)))),
    "hidden learning rate unscaled": Mistake(
        gpt,
        _where(
            "blocks", lambda row, width, depth: _rate(1.0)(row, width, depth) if len(row.parameter.shape) == 2 else row
        ),
    ),
    "attention divided by sqrt of a growing head": Mistake(few_heads),
    "embedding scaled": Mistake(gpt, _where("embedding.weight", _rate(-1.0))),
    "residual multiplier missing": Mistake(gpt, _no_residual_multiplier, "completep", "depth"),
    "eps too large": Mistake(gpt, _constant_eps),
    "weight decay coupled": Mistake(gpt, _falling_decay, values=(("weight_decay", 0.1),)),
    "tied weights": Mistake(TiedGpt),
    "one layer forgotten": Mistake(edit=_where("hidden.1.weight", _rate(1.0))),
    "wrong fan-in axis": Mistake(edit=_where("input.weight", _both(_rate(-1.0), _std(-0.5)))),
}
#: a mistake that no parameter shows: only what layers do
FORWARD = Mistake(LoudGpt, parameterization="completep", axis="depth")
CORRECT: dict[str, Mistake] = {
    "mup, MLP": Mistake(),
    "mup, decoder": Mistake(gpt),
    "mup, decoder, decay": Mistake(gpt, values=(("weight_decay", 0.1),)),
    "completep, decoder": Mistake(gpt, parameterization="completep"),
    "completep, decoder, depth": Mistake(gpt, parameterization="completep", axis="depth"),
}


def runs(
    mistake: Mistake, corpus: Corpus, sizes: Sequence[int], seeds: Iterable[int], steps: Sequence[int] = (1, 3)
) -> list[dict[str, Any]]:
    """Measurements in the form that workers return them, one per size and seed."""
    return [_run(mistake, corpus, size, seed, steps) for size in sizes for seed in seeds]


def planned(mistake: Mistake, value: int, seed: int) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The model at a size along the mistake's axis, initialised, and its optimizer groups."""
    rows, size = _rows(mistake, value)
    module = mistake.build(size.width, size.depth)
    applied = AppliedPlan(rows)
    applied.init_(module, seed)
    return module, applied.param_groups(module)


def _rows(mistake: Mistake, value: int) -> tuple[tuple[Row, ...], Size]:
    base = Size(BASE_WIDTH, BASE_DEPTH, 16, 16 * 100)
    # three layers in the MLP, so that there are two hidden weights to tell apart
    depth = 3 if mistake.build is mlp else BASE_DEPTH
    size = replace(base, width=value, depth=depth) if mistake.axis == "width" else replace(base, depth=value)
    base = replace(base, depth=depth)
    untied = gpt if mistake.build in (TiedGpt, LoudGpt) else mistake.build
    writers = () if untied is mlp else (r"blocks\.\d+\.(attention_out|down)\.weight",)
    parameters = read_module(untied, base, size, residual_writers=writers)
    values = VALUES | dict(mistake.values)
    rows = plan(Parameterization(mistake.parameterization), base, size, parameters, values, optimizer="adamw").rows
    if mistake.build is TiedGpt:
        rows = tuple(row for row in rows if row.parameter.name != "readout.weight")
    return tuple(mistake.edit(row, size.width / base.width, size.depth / base.depth) for row in rows), size


def _run(mistake: Mistake, corpus: Corpus, value: int, seed: int, steps: Sequence[int]) -> dict[str, Any]:
    rows, size = _rows(mistake, value)
    module, groups = planned(mistake, value, seed)
    settings = TrainingSettings(steps=100, batch_size=16, context=CONTEXT)
    measured = measure_coordinates(module, groups, corpus, settings, seed, steps, None, [row.parameter for row in rows])
    return {"size": {"width": size.width, "depth": size.depth}, "seed": seed, **measured}


def checked(mistake: Mistake, measured: Sequence[dict[str, Any]]) -> CoordinateReport:
    """The judgement of the runs."""
    return judge_coordinates(
        [layer for run in measured for layer in read_layers(run, mistake.axis)],
        axis=mistake.axis,
        parameters=[parameter for run in measured for parameter in read_parameters(run, mistake.axis)],
    )

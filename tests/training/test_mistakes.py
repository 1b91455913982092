"""The coordinate check names each of ten planted mistakes and its repair, and nothing where nothing is wrong."""

from __future__ import annotations

import pytest

from hptransfer.diagnostics._diagnosis import Cause
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training.data import Corpus
from tests.support.mistakes import CORRECT, FORWARD, MISTAKES, checked, runs

WIDTHS, DEPTHS = (64, 128, 256), (2, 4, 8)
SEEDS = (0, 1, 2)
BLOCKS = ("attention_out", "down", "k", "q", "up", "v")


def every_block(*names: str) -> set[str]:
    """Weights of these layers in all blocks."""
    return {f"blocks.*.{name}.weight" for name in names}


#: mistake -> (cause, the parameters that must be named, a part of the repair); what was planted, in words
NAMED: dict[str, tuple[Cause, set[str], str]] = {
    "readout not scaled": (Cause.MULTIPLIER, {"readout.weight"}, "learning rate by 1/width_mult"),
    "hidden learning rate unscaled": (Cause.LEARNING_RATE, every_block(*BLOCKS), "learning rate by 1/width_mult"),
    "attention divided by sqrt of a growing head": (
        Cause.ATTENTION,
        {"attention.0"},
        "divide attention logits by head_dim",
    ),
    "embedding scaled": (Cause.LEARNING_RATE, {"embedding.weight"}, "learning rate by width_mult"),
    "residual multiplier missing": (
        Cause.RESIDUAL,
        every_block("attention_out", "down"),
        "residual branch by 1/depth_mult",
    ),
    "eps too large": (Cause.EPS, every_block("q", "k", "v", "up"), "eps by 1/width_mult"),
    "weight decay coupled": (Cause.WEIGHT_DECAY, every_block(*BLOCKS), "weight decay by width_mult"),
    "tied weights": (Cause.TIED, {"embedding.weight", "readout.weight"}, "logits by 1/width_mult"),
    "one layer forgotten": (Cause.LEARNING_RATE, {"hidden.1.weight"}, "learning rate by 1/width_mult"),
    "wrong fan-in axis": (Cause.FAN_IN, {"input.weight"}, "learning rate by width_mult"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_named(name: str, corpus: Corpus) -> None:
    """The check fails; its first fault has the right cause, the right parameters and the multiplier that repairs it."""
    mistake = MISTAKES[name]
    cause, parameters, repair = NAMED[name]

    report = checked(mistake, runs(mistake, corpus, DEPTHS if mistake.axis == "depth" else WIDTHS, SEEDS))

    first = report.faults[0]
    assert report.verdict is RowVerdict.FAILS
    assert first.cause is cause
    assert parameters <= set(first.parameters)
    assert repair in first.repair
    assert first.sentence in report.sentence


@pytest.mark.parametrize(
    "name", ["one layer forgotten", "embedding scaled", "tied weights", "residual multiplier missing"]
)
def test_nothing_else_is_blamed(name: str, corpus: Corpus) -> None:
    """A mistake at one place leaves the other parameters unnamed, although activations behind it change too."""
    mistake = MISTAKES[name]

    report = checked(mistake, runs(mistake, corpus, DEPTHS if mistake.axis == "depth" else WIDTHS, SEEDS))

    assert {parameter for fault in report.faults for parameter in fault.parameters} == NAMED[name][1]


def test_a_mistake_that_only_layers_show_fails(corpus: Corpus) -> None:
    """Branches made louder in `forward`: every parameter follows its rule, the stream's change grows with depth."""
    report = checked(FORWARD, runs(FORWARD, corpus, (4, 16, 64), SEEDS))

    assert report.faults == ()
    assert report.verdict is RowVerdict.FAILS
    assert "blocks.last" in report.sentence


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_plan_is_not_blamed(name: str, corpus: Corpus) -> None:
    """Correct muP across width and CompleteP across width and depth have no fault and do not fail."""
    correct = CORRECT[name]

    report = checked(correct, runs(correct, corpus, DEPTHS if correct.axis == "depth" else WIDTHS, SEEDS))

    assert report.faults == ()
    assert report.verdict is not RowVerdict.FAILS, report.sentence


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1009, 3))
@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_named_at_other_seeds(name: str, first: int, corpus: Corpus) -> None:
    """Seeds on which nothing was chosen."""
    mistake = MISTAKES[name]
    sizes = DEPTHS if mistake.axis == "depth" else WIDTHS

    report = checked(mistake, runs(mistake, corpus, sizes, range(first, first + 3)))

    assert report.faults[0].cause is NAMED[name][0]
    assert NAMED[name][1] <= set(report.faults[0].parameters)


@pytest.mark.slow
@pytest.mark.parametrize("first", [*range(3, 30, 3), *range(1000, 1009, 3)])
@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_plan_is_not_blamed_at_other_seeds(name: str, first: int, corpus: Corpus) -> None:
    """The same over nine more triples of seeds, and over three on which nothing was chosen."""
    correct = CORRECT[name]

    report = checked(
        correct, runs(correct, corpus, DEPTHS if correct.axis == "depth" else WIDTHS, range(first, first + 3))
    )

    assert report.faults == ()
    assert report.verdict is not RowVerdict.FAILS, report.sentence

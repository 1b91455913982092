"""Rules of the `training` section: duration, warmup, schedule, clipping, accumulation and precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from tests.support.recipe_texts import GPT, MLP, edited, faults, load_text

STEPS = "steps: 100"

CASES: list[tuple[str, str, str]] = [
    (
        MLP,
        "tokens: 6400\n  steps: 100",
        "5:11 exactly one of `steps`, `tokens` and `tokens_per_parameter` must say how long a trial trains"
        " | steps and tokens | keep one of `steps` and `tokens`",
    ),
    (
        MLP,
        "batch_size: 8",
        "5:3 exactly one of `steps`, `tokens` and `tokens_per_parameter` must say how long a trial trains"
        " | none of them | add `steps: 1000`",
    ),
    (
        MLP,
        "steps: 100\n  tokens_per_parameter: 0",
        "6:25 `training.tokens_per_parameter > 0` must hold | 0 | write a number above 0",
    ),
    (
        GPT,
        "tokens: 64",
        "5:11 `training.tokens` must be enough for one optimizer step | 64, one step takes 4096 | write 4096 or more",
    ),
    (
        MLP,
        "steps: 100\n  counted_parameters: all",
        "6:23 `counted_parameters` says what `tokens_per_parameter` counts | a duration that counts no parameters"
        " | delete the line",
    ),
    (
        MLP,
        "steps: 100\n  warmup: 0.1\n  warmup_steps: 20",
        "7:17 at most one of `warmup`, `warmup_steps` and `warmup_tokens` must be given | warmup and warmup_steps"
        " | keep one of `warmup` and `warmup_steps`",
    ),
    (
        MLP,
        "steps: 100\n  warmup_steps: 101",
        "6:17 a warmup must end within the run | 101 of 100 steps | make it shorter",
    ),
    (
        MLP,
        "steps: 100\n  warmup_tokens: 6401",
        "6:18 a warmup must end within the run | 6401 of 6400 tokens | make it shorter",
    ),
    (
        MLP,
        "steps: 100\n  floor: 1.5",
        "6:10 `training.floor <= 1` must hold | 1.5 | write 1 or less",
    ),
    (
        MLP,
        "steps: 100\n  schedule: constant\n  floor: 0.1",
        "7:10 `floor` must belong to a schedule that falls | schedule=constant | delete the line, or choose `linear`",
    ),
    (
        MLP,
        "steps: 100\n  decay_share: 0.1",
        "6:16 `decay_share` must belong to the schedule `wsd` | schedule=linear | delete the line, or choose `wsd`",
    ),
    (
        MLP,
        "steps: 100\n  schedule: wsd\n  warmup: 0.6\n  decay_share: 0.5",
        "8:16 `warmup + decay_share <= 1` must hold: the decay begins after the warmup"
        " | warmup=0.6, decay_share=0.5 | shorten the warmup or the decay",
    ),
    (
        MLP,
        "steps: 100\n  clip_norm: 1.0",
        "6:14 `training.clip_norm` must be one of `global`, `scaled` | 1.0"
        " | write `clip: 1.0`: that is the largest norm, `clip_norm` says of which gradient",
    ),
    (
        MLP,
        "steps: 100\n  clip_norm: scaled",
        "6:14 `clip_norm` says which norm `clip` bounds | no `clip` | add `clip: 1.0`, or delete the line",
    ),
    (
        MLP,
        "steps: 100\n  batch_size: 8\n  accumulation: 5\n  processes: 2",
        "7:17 `accumulation * processes <= batch_size` must hold: each part of a batch has at least one example"
        " | accumulation=5, processes=2, batch_size=8 | lower `accumulation`, or raise `batch_size`",
    ),
    (
        MLP,
        "steps: 100\n  device: mps\n  precision: float64",
        "7:14 `precision: float64` needs a device that has it: cpu or cuda | device=mps | write `device: cpu`",
    ),
]


@pytest.mark.parametrize(("text", "instead", "expected"), CASES, ids=[case[1].replace("\n ", ",") for case in CASES])
def test_each_rule_says_where_what_and_what_instead(tmp_path: Path, text: str, instead: str, expected: str) -> None:
    """One fault, one finding, at the key that has to change."""
    (found,) = faults(tmp_path, edited(text, (STEPS, instead)))

    assert found.place is not None
    said = f"{found.place.line}:{found.place.column} {found.rule} | {found.received} | {found.hint}"
    assert said == expected


@pytest.mark.parametrize(
    "instead",
    [
        "tokens: 6400",
        "tokens_per_parameter: 20",
        "tokens_per_parameter: 20\n  counted_parameters: hidden",
        "steps: 100\n  warmup_steps: 100",
        "steps: 100\n  schedule: wsd\n  floor: 0.1\n  decay_share: 0.3",
        "steps: 100\n  schedule: inverse-sqrt",
        "steps: 100\n  clip: 1.0\n  clip_norm: scaled",
        "steps: 100\n  accumulation: 4\n  precision: bfloat16\n  device: cuda\n  compile: true",
    ],
)
def test_what_goes_together_is_accepted(tmp_path: Path, instead: str) -> None:
    """Negative control of the rules above."""
    assert faults(tmp_path, edited(MLP, (STEPS, instead))) == ()


def test_a_searched_warmup_is_a_fraction(tmp_path: Path) -> None:
    """With a fixed number of steps the search would change nothing."""
    space = ("    learning_rate:", "    warmup: {low: 0.01, high: 0.5}\n    learning_rate:")
    (found,) = faults(tmp_path, edited(MLP, (STEPS, "steps: 100\n  warmup_steps: 10"), space))

    assert found.rule == "`warmup` must be a fraction of the steps to be searched"


def test_scaled_clipping_needs_sizes_of_gradients(tmp_path: Path) -> None:
    """u-muP prints none."""
    clip = (STEPS, "steps: 100\n  clip: 1.0\n  clip_norm: scaled")
    (found,) = faults(tmp_path, edited(MLP, clip, ("{name: mup}", "{name: u-mup}"), ("depth: 4", "depth: 2")))

    assert found.rule == "`clip_norm: scaled` needs a parameterization that says how large gradients are"


def test_a_ladder_of_tokens_contradicts_tokens_per_parameter(tmp_path: Path) -> None:
    """Both would say how tokens vary."""
    text = edited(MLP, (STEPS, "tokens_per_parameter: 20"), ("512]", "512]\n  tokens: [6400, 12800]"))

    assert "`sizes.tokens` must be left out" in faults(tmp_path, text)[0].rule


def test_a_fixed_warmup_is_a_share_of_each_runs_own_steps(tmp_path: Path) -> None:
    """20 steps are 20% of 100 and 5% of 400; 1280 tokens are 20 steps of 64; longer than the run is an error."""
    for given in ("warmup_steps: 20", "warmup_tokens: 1280"):
        recipe = load_text(tmp_path, edited(MLP, (STEPS, f"steps: 100\n  {given}"))).recipe

        assert recipe.warmup_share(recipe.size(64, 2), 0.5) == 0.2
        assert recipe.warmup_share(recipe.size(64, 2, tokens=25600), 0.5) == 0.05
        with pytest.raises(UsageError, match="must end within the run"):
            recipe.warmup_share(recipe.size(64, 2, tokens=640), 0.5)

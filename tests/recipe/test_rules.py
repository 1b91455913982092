from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipe_texts import GPT, MLP, described, edited, faults, spots


@pytest.mark.parametrize("text", [MLP, GPT], ids=["mlp", "gpt"])
def test_the_base_recipes_are_clean(tmp_path: Path, text: str) -> None:
    """Negative control: the recipes that the other tests break have no faults."""
    assert faults(tmp_path, text) == ()


CASES: list[tuple[str, tuple[str, str], list[str]]] = [
    (
        GPT,
        ("base: {width: 64", "base: {width: 60"),
        [
            "8:17 `width % head_dim == 0` must hold for gpt | width=60, head_dim=16 | write 64 or 48, or change `mo...",
            "9:11 `sizes.widths` must contain the proxy's width | [64, 128, 256, 512]; the proxy's is 60 | add 60: ...",
        ],
    ),
    (
        GPT,
        ("width: 64, depth: 2}", "width: 64, depth: 2}\n  proxy: {width: 130, depth: 2}"),
        [
            "9:18 `width % head_dim == 0` must hold for gpt | width=130, head_dim=16 | write 144 or 128, or change ...",
            "10:11 `sizes.widths` must contain the proxy's width | [64, 128, 256, 512]; the proxy's is 130 | add 13...",
        ],
    ),
    (
        GPT,
        ("[64, 128,", "[64, 129,"),
        ["9:16 `width % head_dim == 0` must hold for gpt | width=129, head_dim=16 | write 144 or 128, or change ..."],
    ),
    (
        GPT,
        ("width: 1024", "width: 1030"),
        ["10:19 `width % head_dim == 0` must hold for gpt | width=1030, head_dim=16 | write 1040 or 1024, or cha..."],
    ),
    (
        GPT,
        ("head_dim: 16", "head_dim: 1, positions: rotary"),
        ["2:30 `head_dim % 2 == 0` must hold for rotary positions | head_dim=1 | write 2, or `positions: learned`"],
    ),
    (
        MLP,
        ("{width: 1024", "{width: 32"),
        ["10:19 `target.width >= base.width` must hold | target.width=32, base.width=64 | transfer goes from sma..."],
    ),
    (
        MLP,
        ("1024, depth: 4", "1024, depth: 1"),
        ["10:32 `target.depth >= base.depth` must hold | target.depth=1, base.depth=2 | transfer goes from small..."],
    ),
    (
        MLP,
        ("2}\n  widths", "2}\n  proxy: {width: 128, depth: 8}\n  widths"),
        ["11:32 `target.depth >= proxy.depth` must hold | target.depth=4, proxy.depth=8 | transfer goes from sma..."],
    ),
    (
        MLP,
        ("depth: 4}", "depth: 4, tokens: 63}"),
        ["10:43 `target.tokens` must be enough for one optimizer step | tokens=63, one step takes 64 | write 64 ..."],
    ),
    (
        MLP,
        ("[64, 128, 256, 512]", "[128, 256]"),
        ["9:11 `sizes.widths` must contain the proxy's width | [128, 256]; the proxy's is 64 | add 64: drift is ..."],
    ),
    (
        MLP,
        ("[64, 128, 256, 512]", "[64]"),
        ["9:11 `sizes.widths` must have at least 2 entries | [64] | add larger ones: a ladder that spans at leas..."],
    ),
    (
        MLP,
        ("[64, 128, 256, 512]", "[64, 128, 128]"),
        ["9:11 `sizes.widths` must increase strictly | [64, 128, 128] | write [64, 128]"],
    ),
    (
        MLP,
        ("[64, 128, 256, 512]", "[128, 64]"),
        ["9:11 `sizes.widths` must increase strictly | [128, 64] | write [64, 128]"],
    ),
    (
        MLP,
        ("512]", "512]\n  depths: [4, 8]"),
        ["10:11 `sizes.depths` must contain the proxy's depth | [4, 8]; the proxy's is 2 | add 2: drift is measu..."],
    ),
    (
        MLP,
        ("512]", "512]\n  batch_sizes: [1, 2]"),
        ["10:16 `sizes.batch_sizes` must contain the proxy's batch size | [1, 2]; the proxy's is 64 | add 64: ..."],
    ),
    (
        MLP,
        ("512]", "512]\n  tokens: [1, 2]"),
        [
            "10:11 `sizes.tokens` must contain the proxy's tokens | [1, 2]; the proxy's is 6400 | add 6400: drift...",
            "10:11 `sizes.tokens` must be enough for one optimizer step each | 1, one step takes 64 | write 64 or...",
        ],
    ),
    (
        MLP,
        ("512]", "512]\n  corner: true"),
        ["10:11 `sizes.corner` needs a ladder of depths as well as one of widths | no `sizes.depths` | add `si..."],
    ),
    (
        MLP,
        ("{name: mup}", "{name: mup, alpha: 1.0}"),
        ["6:38 `alpha` belongs to completep and complete-d-p only | name=mup | delete `alpha`, or write ..."],
    ),
    (
        MLP,
        ("{name: mup}", "{name: completep}"),
        ["6:26 completep needs residual blocks, and an mlp has none | completep with mlp | write `name: mup`, or..."],
    ),
    (
        MLP,
        ("low: 1e-4", "low: 1e-1"),
        ["13:26 `low < high` must hold | low=0.1, high=0.1 | to keep one value, write `training.learning_rate` a..."],
    ),
    (
        MLP,
        ("low: 1e-4", "low: 0"),
        ["13:26 `low > 0` must hold on a log scale | low=0, high=0.1 | write a small positive number, for exampl..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    warmup: {low: 0, high: 2, scale: linear}"),
        ["14:28 `high <= 1` must hold for `warmup`, a fraction of the steps | low=0, high=2 | write 0.1 for a te..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    init_scale: {low: 0, high: 2, scale: linear}"),
        ["14:23 `low > 0` must hold for `init_scale` | low=0, high=2 | write a small positive number, for exampl..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    hidden_init: {low: 0.1, high: 2}\n  trials: 10\n  order: one-at-a-time"),
        ["15:11 `trials >= 5 * seeds * hyperparameters + 1` must hold for one at a time: a line each, then togeth..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    hidden_init: {low: 0, high: 2, scale: linear}"),
        ["14:24 `low > 0` must hold for `hidden_init` | low=0, high=2 | write a small positive number, for examp..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    beta2: {low: 0, high: 1}"),
        ["14:27 `high < 1` must hold for `beta2`, a weight of what was before | low=0, high=1 | write for example..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    beta2: {low: 0.95, high: 0.951}"),
        ["14:30 a log range must hold at least 2 values of the grid | low=0.95, high=0.951; the grid is at multi..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    momentum: {low: 0.5, high: 0.99}"),
        ["14:15 `momentum` must be read by the optimizer to be searched | optimizer=adamw | delete the line"],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1}\n    attention_multiplier: {low: 0.5, high: 2}"),
        ["14:27 `attention_multiplier` must multiply something in the model | an mlp has no attention | delete t..."],
    ),
    (
        GPT,
        ("steps: 100", "steps: 100\n  multipliers: {input_init: 2}"),
        ["6:29 `input_init` must multiply something in the model | 2; a gpt has no input layer, only tables of e..."],
    ),
    (
        MLP,
        ("{name: mup}", "{name: mup, muon_scale: original, update_rank: full}"),
        [
            "6:43 `muon_scale` belongs to muon only | optimizer=adamw | delete `muon_scale`",
            "6:66 `update_rank` belongs to adamh and muonh only | optimizer=adamw | delete `update_rank`",
        ],
    ),
    (
        MLP,
        ("{name: mup}", "{name: mup, gauge: multipliers}"),
        ["6:38 the gauge belongs to models whose `forward` multiplies, and the built-in MLP multiplies by nothi..."],
    ),
    (
        MLP.replace("steps: 100", "steps: 100\n  optimizer: adafactor").replace("depth: 4", "depth: 2"),
        ("{name: mup}", "{name: u-mup}"),
        ["6:14 a rule for `u-mup` with `adafactor` must have a source, and none is known | u-mup, adafactor | k..."],
    ),
    (
        MLP,
        ("high: 1e-1}", "high: 1e-1, scale: linear}"),
        ["13:51 the checked hyperparameter must have a log scale: its grid and its drift are counted in octaves ..."],
    ),
    (
        MLP,
        ("low: 1e-4, high: 1e-1", "low: 0.51, high: 0.74"),
        ["13:38 a log range must hold at least 2 values of the grid | low=0.51, high=0.74; the grid is at multip..."],
    ),
    (
        MLP,
        ("    learning_rate", "    weight_decay"),
        ["13:5 `check.hyperparameter` must be in `tune.space` | learning_rate, but `tune.space` has weight_decay..."],
    ),
    (
        MLP + "check: {hyperparameter: warmup}\n",
        ("name: small", "name: small"),
        ["14:25 `check.hyperparameter` must be in `tune.space` | warmup, but `tune.space` has learning_rate | ad..."],
    ),
    (
        MLP + "check: {criteria: {cost: null, drift: 0.1}}\n",
        ("name: small", "name: small"),
        ["14:26 `check.criteria.cost` may be null only beside a bound on `deviations` or `regret` | null | for..."],
    ),
    (
        MLP + "check: {octaves: 0.25}\n",
        ("name: small", "name: small"),
        ["14:18 `octaves >= spacing` must hold | octaves=0.25, spacing=0.5 | write `octaves: 0.5` or more: ..."],
    ),
    (
        MLP + "check: {coordinate: {steps: [1, 10, 3]}}\n",
        ("name: small", "name: small"),
        ["14:29 `check.coordinate.steps` must increase strictly | [1, 10, 3] | write each step once"],
    ),
    (
        GPT,
        ("name: small", "name: small\ncheck: {diagnostics: [linearization]}"),
        ["2:23 distance from linearisation needs at least 3 entries in `sizes.depths` | 0 depths | for example [4,..."],
    ),
    (
        MLP,
        ("name: small", "name: small\ncheck: {diagnostics: [linearization]}"),
        ["2:23 distance from linearisation is measured on residual blocks | a model of kind mlp | its layers do ..."],
    ),
    (
        MLP,
        ("name: small", "name: small\ncheck: {diagnostics: [sharpness, sharpness]}"),
        ["2:34 `check.diagnostics` must differ | sharpness | delete one"],
    ),
]


@pytest.mark.parametrize(("text", "change", "expected"), CASES, ids=[case[2][0] for case in CASES])
def test_combinations(tmp_path: Path, text: str, change: tuple[str, str], expected: list[str]) -> None:
    """Each rule across keys, at the value to change, with what was received and what to do."""
    found = [described(finding) for finding in faults(tmp_path, edited(text, change))]

    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got.startswith(wanted.removesuffix("..."))


@pytest.mark.parametrize("pattern", ["../secret.txt", "/etc/passwd", "a/../../b", "C:\\\\x", "..\\\\x"])
def test_data_stays_below_the_recipe(tmp_path: Path, pattern: str) -> None:
    """A recipe cannot read files outside its own folder."""
    (found,) = faults(tmp_path, edited(MLP, ("{kind: stdlib-text}", f'{{kind: text, files: ["*.txt", "{pattern}"]}}')))

    assert found.rule == "`data.files` must be patterns below the recipe's folder, without `..`"
    assert spots((found,)) == [(3, 37)]


def test_a_pattern_of_no_letters_is_empty(tmp_path: Path) -> None:
    """It is no path outside the folder: it names nothing, and that is said at its place."""
    (found,) = faults(tmp_path, edited(MLP, ("{kind: stdlib-text}", '{kind: text, files: ["*.txt", ""]}')))

    assert found.rule == "`data.files[1]` must not be empty"
    assert spots((found,)) == [(3, 37)]


@pytest.mark.parametrize(
    ("low", "high", "clean"),
    [
        ("0.5", "0.7072", True),  # 2^-1 and 2^-0.5 = 0.70711
        ("0.5", "0.7071", False),
        ("0.5001", "1", True),  # 2^-0.5 and 2^0
        ("0.7072", "1", False),
    ],
)
def test_bounds_that_are_grid_points_count(tmp_path: Path, low: str, high: str, clean: bool) -> None:
    """The grid 2^(k/2) includes the bounds of the range."""
    found = faults(tmp_path, edited(MLP, ("low: 1e-4, high: 1e-1", f"low: {low}, high: {high}")))

    assert (found == ()) == clean


def test_rules_apply_to_what_is_valid(tmp_path: Path) -> None:
    """A fault in one section does not hide broken rules between others, and an unknown key hides nothing."""
    text = edited(
        GPT,
        ("steps: 100", "steps: -1"),
        ("head_dim: 16", "head_dim: 16, hed: 3"),
        ("[64, 128,", "[64, 129,"),
        ("width: 1024", "width: 1.0"),
        (
            "    learning_rate: {low: 1e-4, high: 1e-1}",
            "    learning_rate: {low: 1, high: 0.1, scal: log}\n    warmup: {}",
        ),
    )

    assert spots(faults(tmp_path, text)) == [(2, 34), (5, 10), (9, 16), (10, 19), (13, 26), (13, 40), (14, 5), (14, 5)]


def test_a_misnamed_hyperparameter_is_reported_once(tmp_path: Path) -> None:
    """`lr` in the space is an unknown name, not also a missing `learning_rate`."""
    (found,) = faults(tmp_path, edited(MLP, ("learning_rate:", "lr:")))

    assert found.rule == "`lr` is not a hyperparameter that can be searched"
    assert str(found.hint).startswith("did you mean `learning_rate`?")


def test_mup_may_extrapolate_depth(tmp_path: Path) -> None:
    """A deeper target, and a ladder of depths, are allowed for an mlp under mup: `scale` tells what was not covered."""
    assert faults(tmp_path, edited(MLP, ("512]", "512]\n  depths: [2, 4, 8]"))) == ()


@pytest.mark.parametrize(
    ("enqueued", "rule"),
    [
        (
            "{learning_rate: 100.0}",
            "`low <= value <= high` of `tune.space.learning_rate` must hold for enqueued values",
        ),
        (
            "{weight_decay: 0.1}",
            "`tune.enqueue` must give one value for each hyperparameter of `tune.space`, and no others",
        ),
    ],
)
def test_enqueued_values_lie_within_the_space(tmp_path: Path, enqueued: str, rule: str) -> None:
    """Optuna takes enqueued values as they are (fault F21); a recipe does not."""
    found = faults(tmp_path, edited(MLP, ("tune:\n", f"tune:\n  enqueue: [{enqueued}]\n")))

    assert [fault.rule for fault in found] == [rule]

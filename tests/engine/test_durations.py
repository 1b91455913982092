"""Durations in tokens per parameter: counts against unmodified models, and ladders that grow along a ray."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from hptransfer.artifacts.target import ExtrapolationRecord
from hptransfer.checking.design import CheckDesign
from hptransfer.engine.durations import counted_recipe
from hptransfer.engine.open_session import open_session
from hptransfer.engine.readings import Readings
from hptransfer.engine.run_lookup import locate
from hptransfer.errors import UsageError
from hptransfer.models.build import build_model
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.target import _on_ray
from hptransfer.sizes import Size
from hptransfer.transfer.axis_facts import facts_of_report
from hptransfer.transfer.horizon import predict_carried
from hptransfer.transfer.judge import judge
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.verdict import Verdict
from tests.support.landscape import FINGERPRINT
from tests.support.recipe_texts import MLP, edited
from tests.support.tiny import ROOT, recipe

GPT = {"kind": "gpt", "context": 8, "head_dim": 8, "embedding": None}
LLAMA = {
    "kind": "huggingface",
    "config": "llama",
    "context": 8,
    "embedding": None,
    "settings": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 256,
    },
}
SIZES = {
    "base": {"width": 16, "depth": 2},
    "widths": [16, 32, 64, 128],
    "depths": [2, 4],
    "target": {"width": 256, "depth": 2},
}


def per_parameter(
    ratio: float = 20.0, counted: str = "without-embeddings", model: dict[str, object] | None = None
) -> Recipe:
    """A recipe with its counts read."""
    training = {"steps": None, "tokens_per_parameter": ratio, "counted_parameters": counted}
    wanted = recipe(model=GPT if model is None else model, training=training, sizes=SIZES)
    return counted_recipe(wanted, Readings(wanted, ROOT, None, None))


@pytest.mark.parametrize(
    ("counted", "left_out"),
    [
        ("without-embeddings", ("embedding.weight",)),
        ("hidden", ("embedding.weight", "readout.weight")),
        ("all", ()),
    ],
)
def test_a_decoder_trains_as_long_as_its_own_parameters_say(counted: str, left_out: tuple[str, ...]) -> None:
    """20 tokens for each of torch's own count of the built module, rounded to whole steps of 8 sequences of 8."""
    of = per_parameter(counted=counted)
    for width, depth in ((16, 2), (64, 2), (16, 4), (256, 2)):
        module = build_model(of.model, width, depth, device="meta")
        count = sum(p.numel() for name, p in module.named_parameters() if name not in left_out)

        assert of.sizes.parameters[f"w{width}-d{depth}"] == count
        assert of.size(width, depth).tokens == pytest.approx(20 * count, abs=32)
        assert of.size(width, depth).tokens % 64 == 0
        assert of.steps(of.size(width, depth)) * 64 == of.size(width, depth).tokens


def test_the_counts_of_an_unmodified_llama() -> None:
    """Transformers' own `num_parameters(exclude_embeddings=True)`, which counts the readout of an untied model."""
    of = per_parameter(model=LLAMA)
    settings = LLAMA["settings"]
    assert isinstance(settings, dict)
    for width, depth in ((16, 2), (128, 2)):
        scaled = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": depth}
        model = LlamaForCausalLM(LlamaConfig(**settings | scaled))

        assert of.sizes.parameters[f"w{width}-d{depth}"] == model.num_parameters(exclude_embeddings=True)


def test_counts_that_the_recipe_gives_are_taken() -> None:
    """For models that cannot be read; a model that is not asked for is not read."""

    class Unreadable:
        def at(self, width: int, depth: int) -> object:
            raise AssertionError("the model was read")

        layers = at

    training = {"steps": None, "tokens_per_parameter": 2}
    counts = {f"w{width}-d{depth}": 1000 * width for width, depth in ((16, 2), (32, 2), (16, 4), (64, 2))}
    sizes = {**SIZES, "widths": [16, 32], "target": {"width": 64, "depth": 2}, "parameters": counts}
    of = counted_recipe(recipe(model=GPT, training=training, sizes=sizes), Unreadable())  # type: ignore[arg-type]

    assert of.size(32, 2).tokens == 64000
    with pytest.raises(UsageError, match="number of parameters must be known"):
        of.size(48, 2)


def test_the_base_has_its_own_tokens_and_rules_see_the_ratio() -> None:
    """m_D of a size is its parameters over the base's; it enters rates only with a token exponent."""
    of = per_parameter()
    base, wide = of.base_size, of.size(128, 2)

    assert wide.tokens / base.tokens == pytest.approx(
        of.sizes.parameters["w128-d2"] / of.sizes.parameters["w16-d2"], rel=0.01
    )


def trials(of: Recipe, *, drift: float = 0.0) -> list[Trial]:
    """A parabola about an optimum at 2^-6 that moves by `drift` octaves per doubling of the width."""
    design = CheckDesign(of, ROOT, {"learning_rate": 2.0**-6})
    made = []
    for size in design.sizes("width"):
        doublings = math.log2(size.width / 16)
        for step in range(-4, 5):
            for seed in (0, 1):
                x = -6 + step / 2
                loss = (
                    3.0 - 0.1 * doublings + 0.05 * (x + 6 - drift * doublings) ** 2 + 0.001 * math.sin(7 * step + seed)
                )
                made.append(
                    Trial(f"{size.width}{step}{seed}", size, {"learning_rate": 2.0**x}, seed, TrialState.COMPLETE, loss)
                )
    return made


def test_the_ladder_is_one_joint_axis() -> None:
    """Width and tokens vary together; the verdict is along width, and says that other tokens are not covered."""
    of = per_parameter()
    report = judge(trials(of), proxy=of.proxy_size, hyperparameter="learning_rate", transferred=2.0**-6, ray=of.ray)

    (axis,) = report.axes
    assert (axis.axis, [size.value for size in axis.sizes]) == ("width", [16, 32, 64, 128])
    assert report.verdict is Verdict.TRANSFERS
    assert "Tokens grow with the width here (20 tokens per parameter)" in axis.limits[-1]


def test_a_drift_along_the_ray_is_found() -> None:
    """Half an octave per doubling is no transfer."""
    of = per_parameter()
    report = judge(
        trials(of, drift=0.5), proxy=of.proxy_size, hyperparameter="learning_rate", transferred=2.0**-6, ray=of.ray
    )

    assert report.verdict is Verdict.DRIFTS


def test_without_a_ray_such_trials_are_no_slice() -> None:
    """Negative control: widths that differ in tokens as well do not lie along one axis."""
    of = per_parameter()
    with pytest.raises(UsageError, match="must differ from each other along one axis"):
        judge(trials(of), proxy=of.proxy_size, hyperparameter="learning_rate", transferred=2.0**-6)


def test_two_durations_at_one_width_are_no_ray() -> None:
    """A width with tokens of two kinds mixes what the ray holds together."""
    of = per_parameter()
    mixed = trials(of)
    longer = Size(32, 2, 8, 10 * of.size(32, 2).tokens)
    mixed.append(Trial("other", longer, {"learning_rate": 2.0**-6}, 0, TrialState.COMPLETE, 2.5))
    with pytest.raises(UsageError, match="must differ in width only"):
        judge(mixed, proxy=of.proxy_size, hyperparameter="learning_rate", transferred=2.0**-6, ray=of.ray)


def test_a_target_on_the_ray_is_predicted_and_another_is_not() -> None:
    """Along the ray tokens are no axis of their own; a target trained ten times as long is beyond what was checked."""
    of = per_parameter()
    report = judge(trials(of), proxy=of.proxy_size, hyperparameter="learning_rate", transferred=2.0**-6, ray=of.ray)
    on, off = of.target_size(), of.target_size(tokens=10 * of.target_size().tokens)

    assert of.on_ray(on)
    assert not of.on_ray(off)
    (axes,) = facts_of_report(report).values()
    at = partial(predict_carried, axes, "learning_rate", 2.0**-6, proxy=of.proxy_size)
    predicted = at(target=on, on_ray=True)
    assert predicted is not None
    assert predicted.loss is not None
    assert predicted.loss.low < 3.0 - 0.1 * 4 < predicted.loss.high
    beyond = at(target=off, on_ray=False)
    assert beyond is not None
    assert beyond.loss is None
    assert "tokens was not checked" in beyond.basis[-1]


def test_the_targets_file_says_whether_its_tokens_are_covered() -> None:
    """On the ray they grow with the model as in the checked runs; elsewhere the factor is named."""
    of = per_parameter()
    record = ExtrapolationRecord(axis="tokens", target=1, checked_up_to=None, factor=None, sentence="")
    on, off = of.target_size(), of.target_size(tokens=10 * of.target_size().tokens)

    assert "are those of 20 tokens per parameter" in _on_ray(record, of, on).sentence
    assert "10 times what 20 tokens per parameter give" in _on_ray(record, of, off).sentence
    assert "do not cover it" in _on_ray(record, of, off).sentence


def test_a_session_counts_and_the_folder_remembers_what_the_user_wrote(tmp_path: Path) -> None:
    """The counts enter the recipe in use, not its hash; the same recipe again is no change, and onlookers know them."""
    file = tmp_path / "ray.yaml"
    model = ("{kind: mlp}", "{kind: mlp, context: 4, embedding: 4}")
    file.write_text(edited(MLP, ("steps: 100", "tokens_per_parameter: 2"), model))
    said: list[str] = []
    sizes = []
    for _ in range(2):
        with open_session(file, tmp_path / "runs", 1, fingerprint=FINGERPRINT, say=said.append) as session:
            assert session.loaded.hash == load_recipe(file).hash
            sizes.append(session.loaded.recipe.target_size())
    located = locate(str(file), tmp_path / "runs")

    # an MLP of 4 bytes of 4 numbers: input, three hidden layers with norms, readout; the table does not count
    width, hidden = 1024, 3
    count = 16 * width + hidden * width**2 + 256 * width + 256 + (hidden + 1) * 3 * width
    assert sizes[0].tokens == pytest.approx(2 * count, rel=0.001)
    assert sizes[0] == sizes[1] == located.recipe.target_size()
    assert said == []
    assert located.recipe_hash == load_recipe(file).hash

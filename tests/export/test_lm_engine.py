"""lm-engine: what is written is what its code trains (by the record of it), and a planted mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover.lm_engine import FILE
from hptransfer.parameterization.notes import attention_note
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import GptModel
from hptransfer.scaling.groups import in_gauge
from tests.support.exported import round_trip, write_export
from tests.support.switched import CASES, DEEP_CASES, DEEPER, switched_target, without_rows

EVERY = {**CASES, **DEEP_CASES}


@pytest.mark.parametrize("case", list(EVERY))
def test_the_plan_is_read_back_whole(case: str, tmp_path: Path) -> None:
    """Init, rate, decay, eps and factors of every parameter, the schedule, betas and clipping."""
    found = round_trip(tmp_path, "lm-engine", EVERY[case]())

    assert found.holds, found.document
    assert "own code returned" in found.through


MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "the groups' switch is missing": (
        "params_group_method: mup\n",
        "params_group_method: null\n",
        "c_attn",
        "not scaled",
    ),
    "the growth is left at 1": ("m_width: 3.0\n", "m_width: 1.0\n", "learning_rate", "not scaled"),
    "the rate scaled by hand too": ("lr: 0.01\n", f"lr: {0.01 / 3!r}\n", "learning_rate", "scaled twice, by 0.3333"),
    "init scaled by hand too": (
        "initializer_range: 0.02\n",
        f"initializer_range: {0.02 / 3**0.5!r}\n",
        "init_std",
        "width's growth to the power -0.5",
    ),
    "GPT-2's smaller writers": ("use_depth_scaled_init: false", "use_depth_scaled_init: true", "c_proj", "init_std"),
    "the branch's factor is missing": ("m_residual: 0.5\n", "m_residual: null\n", "multiplier", "depth"),
    "the embedding multiplied": ("m_emb: 1.0\n", "m_emb: 12.0\n", "wte", "off by 12"),
    "attention by 1/head_dim": (
        "attention_multiplier: 0.25\n      attention_multiplier_method: null",
        'attention_multiplier: null\n      attention_multiplier_method: "1 / head_dim"',
        "attention logits",
        "multiplier 0.25, planned 1",
    ),
    "eps left at the default": ("    eps: 1.0e-09\n", "", "eps", "the framework's default"),
    "decay left at the default": ("    weight_decay: 0.2\n", "", "weight_decay", "the framework's default"),
    "betas left at the default": ("    betas:\n    - 0.9\n    - 0.98\n", "", "beta2", "the framework's default"),
    "clipping left at the default": ("  gradient_clipping: 0.5\n", "", "clip", "the framework's default"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """Doubled, forgotten, and defaults that differ: a sentence says what, and what it comes from."""
    old, new, what, cause = MISTAKES[name]
    planned = switched_target("completep", size=DEEPER, eps=1e-9, weight_decay=0.2, beta2=0.98)
    found = round_trip(tmp_path, "lm-engine", planned, {FILE: (old, new)})

    assert not found.holds
    assert any(what in each.sentence and cause in each.sentence for each in found.differences), [
        each.sentence for each in found.differences
    ]


def test_a_floor_left_at_the_default_is_found(tmp_path: Path) -> None:
    """lm-engine's cosine falls to a tenth by default."""
    planned = switched_target(training={"floor": 0.0})
    found = round_trip(tmp_path, "lm-engine", planned, {FILE: ("  lr_decay_factor: 0.0\n", "")})

    assert found.schedule is not None
    assert "at step" in found.schedule


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("init_method: mup\n", "init_method: normal\n", "asserts `init_method: mup`"),
        ("m_width: 3.0\n", "m_width: null\n", "divides by `m_width`"),
        ("class_name: TorchAdamW", "class_name: TorchSGD", "must be TorchAdamW"),
        ("attention_multiplier_method: null", 'attention_multiplier_method: "1 / head_dim"', "takes one of"),
        ("model_args:", "- model_args:", "must take"),
        ("    hidden_size: 192\n", "", "must take"),
    ],
)
def test_what_lm_engine_would_refuse_is_an_error(old: str, new: str, said: str, tmp_path: Path) -> None:
    """Its own assertions, and a file that was damaged."""
    with pytest.raises(UsageError, match=said):
        round_trip(tmp_path, "lm-engine", switched_target(), {FILE: (old, new)})


def with_note(note: str | None) -> TargetFile:
    """A target whose heads grow, as a plan says it."""
    assert note is not None
    made = switched_target()
    return made.model_copy(update={"notes": (*made.notes, note)})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "decay that keeps its product": ({"options": Options("constant", "none", decay_vectors=False)}, "weight_decay"),
    "decayed vectors": ({"options": Options("unscaled", "none")}, "ln_"),
    "eps by role": (
        {
            "parameterization": "completep",
            "size": DEEPER,
            "options": Options("unscaled", "gradient", decay_vectors=False),
        },
        "eps",
    ),
    "a rate of one role": ({"hidden_learning_rate": 2.0}, "learning_rate"),
    "an init of one role": ({"readout_init": 2.0}, "lm_head"),
    "muon": ({"optimizer": "muon", "options": None}, "muon"),
    "an inverse square root": ({"training": {"schedule": "inverse-sqrt"}}, "inverse-sqrt"),
    "clipping by sizes": ({"training": {"clip_norm": "scaled"}}, "scaled"),
    "a model that is not known": ({"model": GptModel(kind="gpt", context=8, head_dim=16), "init": "table"}, "gpt"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_cannot_hold_is_refused_by_row(name: str) -> None:
    """The message names rows or values, and what can be done."""
    arguments, said = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        export_target("lm-engine", in_gauge(switched_target(**arguments), None, "multipliers"))

    (finding,) = caught.value.findings
    assert said in str(finding.received)
    assert finding.hint


def test_decay_of_zero_needs_no_option(tmp_path: Path) -> None:
    """Nothing decays, so every rule of decay is the same; eps is one value where the width alone grows."""
    planned = switched_target(options=Options("constant", "gradient"), weight_decay=0.0)
    folder = write_export(tmp_path / "written", "lm-engine", planned)

    # eps falls with the gradient, which is 1/3 where the width is three times the base's
    assert "eps: 3.3333333333333334e-09\n" in (folder / FILE).read_text()
    assert round_trip(tmp_path / "read", "lm-engine", planned).holds


def test_heads_that_grow_have_their_own_factor(tmp_path: Path) -> None:
    """sqrt(8) / 16 where a head had 8 numbers at the base and has 16 here."""
    planned = with_note(attention_note(16, 8))
    folder = write_export(tmp_path, "lm-engine", planned)

    assert f"attention_multiplier: {8**0.5 / 16!r}\n" in (folder / FILE).read_text()


# Where the framework applied the rules in the runs, too: no rows.


def test_without_rows_what_was_tuned_is_written(tmp_path: Path) -> None:
    """Base rate, switches, sizes; nothing of what the runs had from the user's own configuration."""
    folder = write_export(tmp_path, "lm-engine", without_rows())
    lines = [line for line in (folder / FILE).read_text().splitlines() if line and not line.startswith("#")]

    assert lines == [
        "model_args:",
        "  pretrained_config:",
        "    hidden_size: 192",
        "    num_layers: 2",
        "    init_method: mup",
        "    m_width: 3.0",
        "optimizer_args:",
        "  params_group_method: mup",
        "  class_name: TorchAdamW",
        "  class_args:",
        "    lr: 0.01",
        "training_parameters:",
        "  num_training_steps: 100",
        "  global_batch_size: 8",
    ]


WITHOUT_ROWS = {
    "as it is": (("hidden_size: 192", "hidden_size: 192"), ""),
    "scaled by hand too": (("lr: 0.01", f"lr: {0.01 / 3!r}"), "scaled twice, by 0.3333"),
    "the switch is missing": (("  params_group_method: mup\n", ""), "not scaled"),
    "the growth is left at 1": (("m_width: 3.0", "m_width: 1.0"), "not scaled"),
    "init scaled by hand": (
        ("    num_layers: 2\n", "    num_layers: 2\n    initializer_range: 0.01\n"),
        "planned none",
    ),
}


@pytest.mark.parametrize("name", list(WITHOUT_ROWS))
def test_without_rows_mistakes_are_found(name: str, tmp_path: Path) -> None:
    """Table 8 of Tensor Programs V at the framework's names is compared with what its code makes of the file."""
    edit, said = WITHOUT_ROWS[name]
    found = round_trip(tmp_path, "lm-engine", without_rows(), {FILE: edit})

    assert found.holds == (not said)
    assert not said or any(said in each.sentence for each in found.differences), found.document
    assert any("configuration that the runs had" in each for each in found.unread)


def test_without_rows_completep_has_its_branches(tmp_path: Path) -> None:
    """With alpha 1: a factor 1/2 on the branches of a model twice as deep, and rates that know no depth."""
    planned = without_rows("completep", ("learning_rate", "weight_decay", "beta2", "eps"), DEEPER)
    folder = write_export(tmp_path / "written", "lm-engine", planned)

    assert "m_residual: 0.5\n" in (folder / FILE).read_text()
    assert round_trip(tmp_path / "read", "lm-engine", planned).holds
    left_out = round_trip(tmp_path / "left", "lm-engine", planned, {FILE: ("    m_residual: 0.5\n", "")})
    assert {each.quantity for each in left_out.differences} == {"multiplier"}


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        (without_rows(weight_decay="constant"), "must claim the rules"),
        (without_rows(tuned=("learning_rate", "init_scale")), "a key for"),
        (without_rows().model_copy(update={"parameterization": "completep(alpha=0.5)", "size": DEEPER}), "alpha 1"),
    ],
)
def test_without_rows_other_rules_are_refused(planned: TargetFile, said: str) -> None:
    """A claim that lm-engine does not have, a value without a key, and a rate that follows the depth."""
    with pytest.raises(UsageError, match=said):
        export_target("lm-engine", planned)


def test_the_header_says_what_was_executed_and_never_hides_forced() -> None:
    """The evidence comes first."""
    forced = switched_target(objections=("it DRIFTS",))
    (text,) = export_target("lm-engine", in_gauge(forced, None, "multipliers")).values()

    assert "FORCED: it DRIFTS" in text
    assert "Executed: lm-engine 36bad91e on a CPU, unmodified" in text


EDITED = {
    "dropout": ("      softmax_dropout: 0.0\n", "      softmax_dropout: 0.5\n", "softmax_dropout 0.5, planned 0"),
    "activation": ("activation_function: swiglu", "activation_function: geglu", "activation_function geglu, planned"),
    "activation without a gate": ("activation_function: swiglu", "activation_function: relu", "gated no, planned yes"),
    "inner width": ("intermediate_size: 528", "intermediate_size: 512", "feed_forward 512, planned 528"),
    "groups": ("num_key_value_heads: 6", "num_key_value_heads: 3", "key_value_heads 3, planned 6"),
    "rotations": ("rope_theta: 10000", "rope_theta: 5000", "5000, planned 10000"),
    "norms": ("layer_norm_epsilon: 1.0e-05", "layer_norm_epsilon: 0.1", "norm_eps 0.1, planned 1e-05"),
    "steps": ("num_training_steps: 100", "num_training_steps: 50", "steps 50, planned 100"),
    "no batch": ("  global_batch_size: 8\n", "", "global_batch_size left out, planned 8"),
    "an option of the optimizer": (
        "    lr: 0.01\n",
        "    lr: 0.01\n    amsgrad: true\n",
        "amsgrad True, planned left out",
    ),
    "another width": ("hidden_size: 192\n", "hidden_size: 384\n", "width 384, planned 192"),
}


@pytest.mark.parametrize("name", list(EDITED))
def test_what_no_row_says_is_compared_too(name: str, tmp_path: Path) -> None:
    """Sizes, the run, and what the model computes besides."""
    old, new, said = EDITED[name]
    found = round_trip(tmp_path, "lm-engine", switched_target(), {FILE: (old, new)})

    assert any(said in each.sentence for each in found.differences), [each.sentence for each in found.differences]


def test_a_size_without_rows_is_compared(tmp_path: Path) -> None:
    """Width and growth alike leave every rate as it is."""
    found = round_trip(tmp_path, "lm-engine", without_rows(), {FILE: ("hidden_size: 192", "hidden_size: 384")})

    assert [each.sentence for each in found.differences] == [
        "all parameters: model_args.pretrained_config.hidden_size 384, planned 192"
    ]


def test_layers_without_end_are_refused(tmp_path: Path) -> None:
    """By the key's name, and at once."""
    with pytest.raises(UsageError, match="`num_layers` must be"):
        round_trip(tmp_path, "lm-engine", switched_target(), {FILE: ("num_layers: 2", "num_layers: 99999999")})


def test_a_broken_base_of_rotations_is_refused() -> None:
    """lm-engine's is a whole number, so 12345.5 would be cut."""
    made = switched_target()
    assert made.model is not None
    model = made.model.model_copy(update={"settings": {**made.model.settings, "rope_theta": 12345.5}})
    with pytest.raises(UsageError, match="rope_theta"):
        export_target("lm-engine", in_gauge(made.model_copy(update={"model": model}), None, "multipliers"))

"""Cerebras modelzoo: what is written is what its code trains (by the record of it), and a planted mistake is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover.cerebras import FILE
from hptransfer.parameterization.notes import attention_note
from hptransfer.parameterization.rules import Options
from hptransfer.scaling.groups import in_gauge
from tests.support.exported import round_trip, write_export
from tests.support.switched import CASES, DEEPER, switched_target, without_rows


@pytest.mark.parametrize("case", list(CASES))
def test_the_plan_is_read_back_whole(case: str, tmp_path: Path) -> None:
    """Init, rate, decay, eps and factors of every parameter, the schedule, betas and clipping."""
    found = round_trip(tmp_path, "cerebras", CASES[case]())

    assert found.holds, found.document
    assert "own code returned" in found.through


MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "the switch is missing": (
        "      mup_base_hidden_size: 64\n      mup_base_filter_size: 176.0\n",
        "",
        "proj_q_dense_layer",
        "not scaled",
    ),
    "the bases are this model's": (
        "mup_base_hidden_size: 64\n      mup_base_filter_size: 176.0\n",
        "mup_base_hidden_size: 192\n      mup_base_filter_size: 528\n",
        "learning_rate",
        "not scaled",
    ),
    "every rate divided by hand": (": 0.01\n", f": {0.01 / 3!r}\n", "learning_rate", "scaled twice, by 0.3333"),
    "init scaled by hand too": (
        "initializer:\n        name: normal\n        mean: 0.0\n        std: 0.02\n      output",
        f"initializer:\n        name: normal\n        mean: 0.0\n        std: {0.02 / 3**0.5!r}\n      output",
        "proj_q_dense_layer",
        "width's growth to the power -0.5",
    ),
    "writers' std without sqrt(2 depth)": (
        "output_layer_initializer:\n        name: normal\n        mean: 0.0\n        std: 0.04\n",
        "output_layer_initializer:\n        name: normal\n        mean: 0.0\n        std: 0.02\n",
        "proj_output_dense_layer",
        "init_std",
    ),
    "a distribution that is cut": (
        "embedding_initializer:\n        name: normal",
        "embedding_initializer:\n        name: truncated_normal",
        "word_embeddings",
        "off by 0.8796",
    ),
    "attention divided by sqrt of the head": (
        "scale_qk_dot_by_d: true",
        "scale_qk_dot_by_d: false",
        "attention",
        "off by 4",
    ),
    "attention without its alpha": ("      attention_logits_alpha: 4.0\n", "", "attention logits", "0.25"),
    "logits by the root": (
        "scale_output_logits_by_d: true",
        "scale_output_logits_by_d: false",
        "lm_head",
        "multiplier",
    ),
    "Cerebras-GPT's embedding scale": (
        "embeddings_scale: 1.0",
        "embeddings_scale: 10.0",
        "word_embeddings",
        "off by 10",
    ),
    "eps left at the default": ("        eps: 1.0e-09\n", "", "eps", "the framework's default"),
    "decay left at the default": ("        weight_decay: 0.2\n", "", "weight_decay", "the framework's default"),
    "betas left at the default": (
        "        betas:\n        - 0.9\n        - 0.98\n",
        "",
        "beta2",
        "the framework's default",
    ),
    "clipping left at the default": (
        "      max_gradient_norm: 0.5\n",
        "      enabled: true\n",
        "clip",
        "the framework's",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """Doubled, forgotten, and defaults that differ: a sentence says what, and what it comes from."""
    old, new, what, cause = MISTAKES[name]
    planned = switched_target(eps=1e-9, weight_decay=0.2, beta2=0.98)
    found = round_trip(tmp_path, "cerebras", planned, {FILE: (old, new)})

    assert not found.holds
    assert any(what in each.sentence and cause in each.sentence for each in found.differences), [
        each.sentence for each in found.differences
    ]


#: the first line behind the optimizer, and the next
WHOLE = "    schedulers:\n    - SequentialLR:"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("      mup_base_filter_size: 176.0\n", "", "asks for both"),
        (WHOLE, f"        adjust_learning_rate: {{decoder_mlp: 0.5}}\n{WHOLE}", "has the groups"),
        (WHOLE, f"        adjust_learning_rate: {{decoder_kernel: 0.5}}\n{WHOLE}", "into both"),
        ("      AdamW:", "      SGD:", "must be AdamW"),
        ("name: normal", "name: xavier_uniform", "must be normal"),
        ("trainer:", "- trainer:", "must take"),
    ],
)
def test_what_modelzoo_would_refuse_is_an_error(old: str, new: str, said: str, tmp_path: Path) -> None:
    """Its own errors, a parameter in two groups, and a file that was damaged."""
    with pytest.raises(UsageError, match=said):
        round_trip(tmp_path, "cerebras", switched_target(), {FILE: (old, new)})


def test_a_floor_that_was_forgotten_is_found(tmp_path: Path) -> None:
    """Its minimum is a rate, which groups' factors multiply too."""
    planned = switched_target()
    edit = {FILE: ("end_learning_rate: 0.001\n", "end_learning_rate: 0.0\n")}
    found = round_trip(tmp_path, "cerebras", planned, edit)

    assert found.schedule is not None


def test_writers_are_written_with_the_root_that_modelzoo_divides_by(tmp_path: Path) -> None:
    """A plan whose own init has no 1/sqrt(2 depth): 0.02 sqrt(8) at four blocks."""
    folder = write_export(tmp_path, "cerebras", switched_target(size=DEEPER))

    assert f"std: {float(f'{0.02 * math.sqrt(8):.15g}')!r}\n" in (folder / FILE).read_text()


def test_a_rate_of_one_role_is_an_adjustment(tmp_path: Path) -> None:
    """The embedding's own rate is its group's factor; readout and vectors have none."""
    planned = switched_target(embedding_learning_rate=2.0)
    folder = write_export(tmp_path / "written", "cerebras", planned)

    assert "adjust_learning_rate:\n          embedding: 2.0\n" in (folder / FILE).read_text()
    assert round_trip(tmp_path / "read", "cerebras", planned).holds


def test_heads_that_grow_have_their_own_alpha(tmp_path: Path) -> None:
    """sqrt(8) / 16 where a head had 8 numbers at the base and has 16 here: alpha sqrt(8), divided by 16."""
    note = attention_note(16, 8)
    assert note is not None
    made = switched_target()
    folder = write_export(tmp_path, "cerebras", made.model_copy(update={"notes": (*made.notes, note)}))

    assert f"attention_logits_alpha: {math.sqrt(8)!r}\n" in (folder / FILE).read_text()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a rule for the depth": ({"parameterization": "completep", "size": DEEPER}, "multiplier 1, planned 0.5"),
    "decay that keeps its product": ({"options": Options("constant", "none", decay_vectors=False)}, "weight_decay"),
    "decayed vectors": ({"options": Options("unscaled", "none")}, "norm1"),
    "an eps by depth": (
        {
            "parameterization": "completep",
            "size": DEEPER,
            "options": Options("unscaled", "gradient", decay_vectors=False),
        },
        "eps 3.33333333333e-09, planned 1.66666666667e-09",
    ),
    "muon": ({"optimizer": "muon", "options": None}, "muon"),
    "an inverse square root": ({"training": {"schedule": "inverse-sqrt"}}, "inverse-sqrt"),
    "clipping by sizes": ({"training": {"clip_norm": "scaled"}}, "scaled"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_cannot_hold_is_refused_by_row(name: str) -> None:
    """The message names rows or values, and what can be done."""
    arguments, said = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        export_target("cerebras", in_gauge(switched_target(**arguments), None, "multipliers"))

    (finding,) = caught.value.findings
    assert said in str(finding.received)
    assert finding.hint


# Where the framework applied the rules in the runs, too: no rows.


def test_without_rows_what_was_tuned_is_written(tmp_path: Path) -> None:
    """Base rate, bases, sizes; nothing of what the runs had from the user's own configuration."""
    folder = write_export(tmp_path, "cerebras", without_rows(tuned=("learning_rate", "weight_decay")))
    lines = [line for line in (folder / FILE).read_text().splitlines() if line and not line.startswith("#")]

    assert lines == [
        "trainer:",
        "  init:",
        "    model:",
        "      hidden_size: 192",
        "      filter_size: 768",
        "      num_hidden_layers: 2",
        "      mup_base_hidden_size: 64",
        "      mup_base_filter_size: 256",
        "    optimizer:",
        "      AdamW:",
        "        lr: 0.01",
        "        weight_decay: 0.1",
        "    loop:",
        "      max_steps: 100",
        "  fit:",
        "    train_dataloader:",
        "      batch_size: 8",
    ]


WITHOUT_ROWS = {
    "as it is": (("hidden_size: 192", "hidden_size: 192"), ""),
    "scaled by hand too": (("lr: 0.01", f"lr: {0.01 / 3!r}"), "scaled twice, by 0.3333"),
    "the bases are this model's": (
        ("size: 64\n      mup_base_filter_size: 256", "size: 192\n      mup_base_filter_size: 768"),
        "not scaled",
    ),
    "init scaled by hand": (("    optimizer:", "      initializer_range: 0.01\n    optimizer:"), "planned none"),
}


@pytest.mark.parametrize("name", list(WITHOUT_ROWS))
def test_without_rows_mistakes_are_found(name: str, tmp_path: Path) -> None:
    """Table 8 of Tensor Programs V at the framework's names is compared with what its code makes of the file."""
    edit, said = WITHOUT_ROWS[name]
    found = round_trip(tmp_path, "cerebras", without_rows(), {FILE: edit})

    assert found.holds == (not said)
    assert not said or any(said in each.sentence for each in found.differences), found.document
    assert any("configuration that the runs had" in each for each in found.unread)


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        (without_rows("completep", size=DEEPER), "none for the depth"),
        (without_rows(weight_decay="constant"), "must claim the rules"),
        (without_rows(tuned=("learning_rate", "init_scale")), "a key for"),
    ],
)
def test_without_rows_other_rules_are_refused(planned: TargetFile, said: str) -> None:
    """A rule for the depth, a claim that modelzoo does not have, and a value without a key."""
    with pytest.raises(UsageError, match=said):
        export_target("cerebras", planned)


def test_the_header_says_what_was_executed_and_what_was_not() -> None:
    """The evidence comes first, and the stubs are named."""
    (text,) = export_target(
        "cerebras", in_gauge(switched_target(objections=("it DRIFTS",)), None, "multipliers")
    ).values()
    said = " ".join(text.replace("#", " ").split())

    assert "FORCED: it DRIFTS" in said
    assert "its compiler and what needs a CS system are stubs" in said


EDITED = {
    "dropout": ("attention_dropout_rate: 0.0", "attention_dropout_rate: 0.5", "attention_dropout_rate 0.5, planned 0"),
    "activation": ("nonlinearity: swiglu", "nonlinearity: geglu", "nonlinearity geglu, planned swiglu"),
    "positions": ("embedding_type: rotary", "embedding_type: alibi", "position_embedding_type alibi, planned rotary"),
    "rotations": ("rope_theta: 10000.0", "rope_theta: 5000.0", "rope_theta 5000, planned 10000"),
    "norms": ("layer_norm_epsilon: 1.0e-05", "layer_norm_epsilon: 0.1", "norm_eps 0.1, planned 1e-05"),
    "groups": ("num_kv_groups: 6", "num_kv_groups: 3", "key_value_heads 3, planned 6"),
    "a draw around another mean": ("        mean: 0.0\n", "        mean: 1.0\n", "mean 1, planned 0"),
    "steps": ("max_steps: 100", "max_steps: 50", "steps 50, planned 100"),
    "no batch": ("      batch_size: 8\n", "      shuffle: true\n", "batch_size left out, planned 8"),
    "the loss": ("loss_weight: 1.0", "loss_weight: 2.0", "loss_weight 2, planned 1"),
    "an option of the optimizer": ("correct_bias: true", "correct_bias: false", "correct_bias False, planned True"),
}


@pytest.mark.parametrize("name", list(EDITED))
def test_what_no_row_says_is_compared_too(name: str, tmp_path: Path) -> None:
    """Sizes, the run, and what the model computes besides."""
    old, new, said = EDITED[name]
    found = round_trip(tmp_path, "cerebras", switched_target(), {FILE: (old, new)})

    assert any(said in each.sentence for each in found.differences), [each.sentence for each in found.differences]


def test_layers_without_end_are_refused(tmp_path: Path) -> None:
    """By the key's name, and at once."""
    edit = {FILE: ("num_hidden_layers: 2", "num_hidden_layers: 99999999")}
    with pytest.raises(UsageError, match="`num_hidden_layers` must be"):
        round_trip(tmp_path, "cerebras", switched_target(), edit)

"""The format yaml: everything of a plan, for any framework, read back by a safe parser and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hptransfer.artifacts.target import TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.recipe.model_sections import GptModel, HuggingFaceModel
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, llama_target, round_trip

WIDE = Size(192, 2, 8, 8192)


def content() -> dict[str, Any]:
    """What is written of a Llama under completep."""
    read: dict[str, Any] = yaml.safe_load(export_target("yaml", llama_target())["plan.yaml"])
    return read


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon", "lion"])
@pytest.mark.parametrize("init", ["own", "rule"])
def test_the_plan_is_read_back_whole(optimizer: str, init: str, tmp_path: Path) -> None:
    """Every optimizer, those that torch has through torch."""
    decay = 0.0 if optimizer == "sgd" else 0.1
    source: Any = init
    target = llama_target("mup", optimizer=optimizer, size=WIDE, init=source, weight_decay=decay)
    found = round_trip(tmp_path, "yaml", target)

    assert found.differences == ()
    assert found.parameters == 21
    assert ("torch" in found.through) == (optimizer != "lion")


@pytest.mark.parametrize(
    "training",
    [
        {"schedule": "cosine", "warmup": 0.1, "floor": 0.1},
        {"schedule": "wsd", "warmup": 0.05, "decay_share": 0.3},
        {"schedule": "inverse-sqrt", "warmup": 0.02},
        {"schedule": "constant", "warmup": 0.0},
        {"schedule": "own", "warmup": None},
    ],
    ids=lambda given: given["schedule"],
)
def test_schedules_are_read_back(training: dict[str, Any], tmp_path: Path) -> None:
    """By their formula, which agrees with the table beside it."""
    record = TrainingRecord(**{"steps": 300, "batch_size": 8, "clip": 1.0} | training)
    target = llama_target().model_copy(update={"training": record})

    assert round_trip(tmp_path, "yaml", target).holds


def test_the_table_of_factors_is_right() -> None:
    """A linear decay over 3 steps without warmup: 1, 2/3, 1/3 of the peak."""
    assert content()["training"]["schedule"]["factors"] == pytest.approx({0: 1.0, 1: 2 / 3, 2: 1 / 3})


def test_a_parameter_can_be_looked_up_by_its_name() -> None:
    """Table 1 of CompleteP at width x3 and depth x2, alpha 1: hidden rate / 3, init / sqrt(3)."""
    row = content()["parameters"]["model.layers.3.self_attn.q_proj.weight"]

    assert row["learning_rate"] == pytest.approx(0.01 / 3)
    assert row["init"] == {
        "how": "scale",
        "own_std": 0.02,
        "factor": pytest.approx(3**-0.5),
        "std": pytest.approx(0.02 * 3**-0.5),
    }
    assert row["optimizer"] == "adamw"


def test_a_group_lists_its_names() -> None:
    """As many as its pattern matches."""
    group = next(each for each in content()["groups"] if "q_proj" in each["pattern"])

    assert group["names"] == [f"model.layers.{layer}.self_attn.q_proj.weight" for layer in range(4)]
    assert group["shape"] == [192, 192]


def test_numbers_that_are_no_layers_are_named_as_they_are() -> None:
    """GPT-2's norms are ln_1 and ln_2."""
    gpt2 = HuggingFaceModel.model_validate(
        {
            "kind": "huggingface",
            "config": "gpt2",
            "settings": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 256}
            | {"tie_word_embeddings": False},
        }
    )
    written = yaml.safe_load(export_target("yaml", llama_target("mup", size=WIDE, model=gpt2))["plan.yaml"])

    names = {name for name in written["parameters"] if ".h.1." in name and ".ln_" in name}
    assert names == {f"transformer.h.1.ln_{number}.{what}" for number in (1, 2) for what in ("weight", "bias")}


def test_a_tied_table_has_its_multiplier(tmp_path: Path) -> None:
    """Table 8 of Tensor Programs V: its logits times 1/m, which any framework can be told by this file."""
    tied = LLAMA.model_copy(update={"settings": {**LLAMA.settings, "tie_word_embeddings": True}})
    target = llama_target("mup", size=WIDE, model=tied)
    row = yaml.safe_load(export_target("yaml", target)["plan.yaml"])["parameters"]["model.embed_tokens.weight"]

    assert row["multiplier"] == pytest.approx(1 / 3)
    assert round_trip(tmp_path, "yaml", target).holds


def test_a_built_in_decoder_is_read_back(tmp_path: Path) -> None:
    """Drawn anew by the tables' rule, under names of its own."""
    model = GptModel(kind="gpt", context=8, head_dim=16)

    assert round_trip(tmp_path, "yaml", llama_target(model=model, init="rule")).holds


def test_a_model_that_the_recipe_does_not_name_has_no_rows(tmp_path: Path) -> None:
    """Hyperparameters of the base, sizes and schedule are written all the same."""
    target = llama_target().model_copy(update={"parameters": (), "model": None, "recipe": ""})
    written = yaml.safe_load(export_target("yaml", target)["plan.yaml"])

    assert written["groups"] == []
    assert written["hyperparameters_at_base"]["learning_rate"] == 0.01
    assert (written["base"]["width"], written["size"]["width"]) == (64, 192)
    assert round_trip(tmp_path, "yaml", target).parameters == 0


RATE = "learning_rate: 0.003333333333333333"


def test_a_planted_second_scaling_is_found_and_named(tmp_path: Path) -> None:
    """Of both places, groups and parameters."""
    edit = {"plan.yaml": (RATE, "learning_rate: 0.001111111111111111")}
    found = round_trip(tmp_path, "yaml", llama_target("mup", size=WIDE), edit)

    assert {each.quantity for each in found.differences} == {"learning_rate"}
    assert all("scaled twice, by 0.3333 each time" in each.sentence for each in found.differences)
    assert found.changed == ("plan.yaml",)


def test_another_beta_is_found(tmp_path: Path) -> None:
    """It is one for all groups."""
    (found,) = round_trip(tmp_path, "yaml", llama_target(), {"plan.yaml": ("beta2: 0.95", "beta2: 0.999")}).differences

    assert found.sentence == "all parameters: beta2 0.999, planned 0.95"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  - model.layers.0.self_attn.q_proj.weight\n", "", "the same of each"),
        ("  - model.layers.0.self_attn.q_proj.weight\n", "  - model.layers.0.self_attn.k_proj.weight\n", "one group"),
        ("      0: 1.0\n", "      0: 0.5\n", "what its formula gives"),
        ("groups:\n", "gruppen:\n", "KeyError"),
        ("format: hptransfer-plan/1", "format: [", "as `hptransfer scale --format yaml` writes it"),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    """Groups and parameters, formula and table, patterns and names say the same."""
    with pytest.raises(UsageError, match=said):
        round_trip(tmp_path, "yaml", llama_target(), {"plan.yaml": (old, new)})


def test_another_init_in_one_section_is_found(tmp_path: Path) -> None:
    """Whoever trains by `parameters` would keep an embedding that is to be drawn at another std."""
    row = "  model.embed_tokens.weight:\n    init:\n      how: "
    found = round_trip(tmp_path, "yaml", llama_target(), {"plan.yaml": (f"{row}scale", f"{row}keep")})

    assert [each.names for each in found.differences] == [("model.embed_tokens.weight",)]


def test_the_header_says_forced() -> None:
    """As comments, in front of everything."""
    text = export_target("yaml", llama_target(objections=("the check DRIFTS",)))["plan.yaml"]

    assert text.startswith("# Written by hptransfer")
    assert "FORCED: the check DRIFTS" in text[:1500]

"""Megatron-Bridge: its own code made of the exported files what the record says, and what it says who forgets a call.

The record is that of Megatron-LM; Bridge has the same rules, and a scheduler that sets the decay by itself.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.causes import Growth
from hptransfer.handover.megatron import ATTENTION, Flags, Python, rate, read_flags, trained_by
from hptransfer.handover.megatron_arguments import array_words
from hptransfer.handover.trained import Reading, Trained, differences
from hptransfer.roundtrip._megatron_file import read_python
from tests.support.exported import write_export
from tests.support.megatron import ARGUMENTS, OVERRIDES, flags_target, plan, with_floor

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "megatron_bridge.json").read_text(encoding="utf-8"))


def planned(name: str) -> TargetFile:
    """The plan of a set."""
    return with_floor(flags_target() if name == "flags alone" else plan(name), 0.1)


def recorded(said: dict[str, Any]) -> tuple[Flags, dict[str, Trained]]:
    """What the record of Megatron's rules says of a set."""
    own = said.get("python")
    python = own and Python(own["overrides"], {int(inputs): std for inputs, std in own["output_std"].items()})
    flags, unknown = read_flags(said["arguments"])
    assert unknown == ()
    return flags, {row.name: row for row in trained_by(flags, python)}


def returned(said: dict[str, Any]) -> list[Trained]:
    """What Bridge's code returned of a set."""
    parameters = said["parameters"]
    tied = "output_layer.weight" not in parameters
    rows = []
    for name, row in parameters.items():
        table = name == "embedding.word_embeddings.weight"
        factor = said["logits"] if name == "output_layer.weight" or (table and tied) else 1.0
        factor *= said["embedding"] if table else 1.0
        eps = row["eps"] if said["optimizer"] == "adamw" else None
        rows.append(Trained(name, row["std"], row["max_lr"], row["weight_decay"], eps, factor, said["optimizer"]))
    scale = said["softmax_scale"] * said["head_dim"] ** 0.5
    return [*rows, Trained(ATTENTION, None, 0.0, 0.0, None, scale)]


@pytest.mark.parametrize("name", list(GOLDEN["sets"]))
def test_the_record_is_what_bridge_returned(name: str) -> None:
    """Init, rate, decay, eps and factors of every parameter to 1e-12, and its rate at ten steps."""
    said = GOLDEN["sets"][name]
    flags, rows = recorded(said)
    found = {row.name: row for row in returned(said)}

    assert set(rows) == set(found)
    assert len(rows) > 10
    for each, row in rows.items():
        for mine, theirs in (
            (row.init_std, found[each].init_std), (row.learning_rate, found[each].learning_rate),
            (row.weight_decay, found[each].weight_decay), (row.eps, found[each].eps),
            (row.multiplier, found[each].multiplier),
        ):  # fmt: skip
            assert (mine is None) == (theirs is None), each
            assert mine is None or theirs is None or math.isclose(mine, theirs, rel_tol=1e-12), each
    for each, wanted in said["parameters"].items():
        rates = [rate(flags, wanted["max_lr"], wanted["min_lr"], step) for step in GOLDEN["iterations"]]
        assert rates == pytest.approx(wanted["rates"], rel=1e-12, abs=1e-18), each


@pytest.mark.parametrize("name", list(GOLDEN["sets"]))
def test_it_was_given_what_is_exported(name: str, tmp_path: Path) -> None:
    """Arguments and Python file of the plan, as they are written today."""
    said = GOLDEN["sets"][name]
    folder = write_export(tmp_path, "megatron", planned(name))

    assert said["arguments"] == " ".join(array_words(folder / ARGUMENTS))
    assert (folder / OVERRIDES).exists() == ("python" in said)
    if "python" in said:
        own = read_python(folder / OVERRIDES)
        assert json.loads(json.dumps(own.overrides)) == said["python"]["overrides"]
        assert {str(inputs): std for inputs, std in own.output_std.items()} == said["python"]["output_std"]


def test_the_call_left_out_is_another_training() -> None:
    """Bridge's recipes have a decay of 0.033, vectors none; what writes the stream is drawn at 1/sqrt(2 layers)."""
    said = GOLDEN["bridge(config) left out"]
    _, rows = recorded(said)
    found = differences(list(rows.values()), Reading(tuple(returned(said)), ""), Growth(3.0, 1.0))

    assert said["parameters"]["decoder.layers.0.mlp.linear_fc1.weight"]["weight_decay"] == 0.033
    assert said["parameters"]["decoder.final_layernorm.weight"]["weight_decay"] == 0.0
    assert {each.quantity for each in found} == {"weight_decay", "init_std", "eps"}


@pytest.mark.parametrize("name", list(GOLDEN["sets"]))
def test_the_model_of_a_checkpoint_is_read_again(name: str) -> None:
    """Bridge instantiates what it wrote of the model, without the exported file, which it would refuse to import."""
    flags = read_flags(GOLDEN["sets"][name]["arguments"])[0]
    again = GOLDEN["sets"][name]["reloaded"]

    assert again["hidden_size"] == flags["hidden-size"]
    assert again["mup_base_hidden_size"] == flags["mup-base-hidden-size"]
    assert again["mup_output_mult"] == flags.logits

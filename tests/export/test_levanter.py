"""levanter: one rate, or Muon's and Adam's; every other plan is refused by row, and a planted mistake is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover.levanter import FILE
from hptransfer.parameterization.rules import Options
from tests.support.exported import BASE, round_trip, write_export
from tests.support.switched import GPT2, switched_target


def muon(**arguments: Any) -> TargetFile:
    """Muon at the base's size, where the readout has Adam's one rate."""
    options = Options(eps="none", decay_vectors=False, muon_scale=arguments.pop("muon_scale", "original"))
    training = {"clip": None, **arguments.pop("training", {})}
    return switched_target(optimizer="muon", size=BASE, options=options, training=training, **arguments)


PLANS: dict[str, Callable[[], TargetFile]] = {
    "standard": lambda: switched_target("standard", eps=1e-9, weight_decay=0.2, beta2=0.98),
    "decayed vectors": lambda: switched_target("standard", options=Options(eps="none")),
    "no decay": lambda: switched_target("standard", weight_decay=0.0),
    "wsd": lambda: switched_target("standard", training={"schedule": "wsd", "decay_share": 0.3, "floor": 0.0}),
    "constant": lambda: switched_target("standard", training={"schedule": "constant", "floor": 0.0, "clip": None}),
    "muon": muon,
    "muon as Kimi scales it": lambda: muon(muon_scale="match_rms_adamw"),
}


@pytest.mark.parametrize("name", list(PLANS))
def test_what_it_can_hold_is_read_back_whole(name: str, tmp_path: Path) -> None:
    """Rate, decay and eps of every parameter, the schedule, betas and clipping; the start is the checkpoint's."""
    found = round_trip(tmp_path, "levanter", PLANS[name]())

    assert found.holds, found.document
    assert any("initialize_from_hf" in each for each in found.unread)


MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "no mask at all": (
        "  weight_decay_modules:\n  - embeddings",
        "  unused:\n  - embeddings",
        "norm",
        "weight_decay 0.2",
    ),
    "the embedding left out": ("  - embeddings.token_embeddings\n", "", "embed_tokens", "weight_decay 0, planned 0.2"),
    "eps left at the default": ("  epsilon: 1.0e-09\n", "", "eps", "the framework's default"),
    "decay left at the default": ("  weight_decay: 0.2\n", "", "weight_decay", "the framework's default"),
    "beta2 left at the default": ("  beta2: 0.98\n", "", "beta2", "the framework's default"),
    "clipping left at the default": ("  max_grad_norm: 0.5\n", "", "clip", "the framework's default"),
    "another rate": ("learning_rate: 0.01\n", "learning_rate: 0.02\n", "learning_rate", "off by 2"),
    "muon": ("type: adam\n", "type: muon\n  adam_lr: 0.01\n", "q_proj", "optimizer muon, planned adamw"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """Defaults that differ, the mask, and another optimizer: a sentence says what."""
    old, new, what, cause = MISTAKES[name]
    found = round_trip(tmp_path, "levanter", PLANS["standard"](), {FILE: (old, new)})

    assert not found.holds
    assert any(what in each.sentence and cause in each.sentence for each in found.differences), [
        each.sentence for each in found.differences
    ]


def test_a_warmup_of_one_step_is_said_as_a_share(tmp_path: Path) -> None:
    """Levanter reads 1 as the whole run."""
    planned = switched_target("standard", training={"steps": 20})
    assert planned.training is not None
    planned = planned.model_copy(update={"training": planned.training.model_copy(update={"warmup": 0.05})})
    folder = write_export(tmp_path / "written", "levanter", planned)

    assert "warmup: 0.075\n" in (folder / FILE).read_text()
    assert round_trip(tmp_path / "read", "levanter", planned).holds
    wrong = round_trip(tmp_path / "wrong", "levanter", planned, {FILE: ("warmup: 0.075\n", "warmup: 1\n")})
    assert wrong.schedule is not None


def test_adams_rate_beside_muon_left_at_the_default_is_found(tmp_path: Path) -> None:
    """`adam_lr` is 6e-4 where nobody writes it."""
    found = round_trip(tmp_path, "levanter", muon(), {FILE: ("  adam_lr: 0.01\n", "")})

    rates = [each for each in found.differences if each.quantity == "learning_rate"]
    assert {each.used for each in rates} == {6e-4}
    assert all("the framework's default" in each.sentence for each in rates)
    assert not any("q_proj" in each.sentence for each in rates)


def test_muons_scale_left_at_the_default_is_found(tmp_path: Path) -> None:
    """`use_kimi_scaling` is false where nobody writes it."""
    planned = muon(muon_scale="match_rms_adamw")
    found = round_trip(tmp_path, "levanter", planned, {FILE: ("  use_kimi_scaling: true\n", "")})

    (scale,) = found.differences
    assert (scale.quantity, scale.used) == ("muon_scale", "original")
    assert "the framework's default" in scale.sentence


REFUSED: dict[str, tuple[Any, str]] = {
    "a rate by role": (switched_target, "q_proj.weight: 0.00333"),
    "a rule for the depth": (lambda: switched_target("completep"), "q_proj"),
    "a rate of one role": (lambda: switched_target("standard", embedding_learning_rate=2.0), "embed_tokens"),
    "muon that grew": (
        lambda: switched_target(optimizer="muon", options=Options(), training={"clip": None}),
        "lm_head",
    ),
    "clipping beside muon": (lambda: muon(training={"clip": 1.0}), "clip: 1.0"),
    "an inverse square root": (lambda: switched_target("standard", training={"schedule": "inverse-sqrt"}), "inverse"),
    "sgd": (lambda: switched_target("standard", optimizer="sgd", options=Options(decay_vectors=False)), "sgd"),
    "no Llama": (lambda: switched_target(model=GPT2, size=BASE), "gpt2"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_cannot_hold_is_refused_by_row(name: str) -> None:
    """The message names rows or values, and the way out."""
    build, said = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        export_target("levanter", build())

    (finding,) = caught.value.findings
    assert said in str(finding.received)
    assert finding.hint


EDITED = {
    "steps": ("num_train_steps: 100", "num_train_steps: 50", "steps 50, planned 100"),
    "batch": ("train_batch_size: 8", "train_batch_size: 16", "batch_size 16, planned 8"),
    "no batch": ("train_batch_size: 8", "seed: 1", "train_batch_size left out, planned 8"),
    "floor": ("min_lr_ratio: 0.1", "min_lr_ratio: 0.5", "floor 0.5, planned 0.1"),
    "an option of the optimizer": ("type: adam\n", "type: adam\n  nesterov: true\n", "nesterov True, planned left out"),
}


@pytest.mark.parametrize("name", list(EDITED))
def test_what_no_row_says_is_compared_too(name: str, tmp_path: Path) -> None:
    """The run, and options of the optimizer that the format does not write."""
    old, new, said = EDITED[name]
    found = round_trip(tmp_path, "levanter", PLANS["standard"](), {FILE: (old, new)})

    assert any(said in each.sentence for each in found.differences), [each.sentence for each in found.differences]

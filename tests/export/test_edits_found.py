"""OLMo-core and torchtitan: an edit that no row of a plan shows is an error or a difference, never as planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover.trained import Difference
from tests.support.exported import llama_target, round_trip

#: torch itself, where torchtitan asks it for its compiler
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
FILES = {"olmo-core": "hptransfer_olmo_core.py", "torchtitan": "hptransfer_torchtitan.py"}
PACKAGES = {"olmo-core": "olmo_core", "torchtitan": "torchtitan"}


def lasting() -> TargetFile:
    """CompleteP, width x3, depth x2, 100 steps."""
    target = llama_target()
    assert target.training is not None
    return target.model_copy(update={"training": target.training.model_copy(update={"steps": 100})})


def found(folder: Path, name: str, edit: tuple[str, str]) -> tuple[str, tuple[Difference, ...]]:
    """The error of reading an edited file, or the differences."""
    pytest.importorskip(PACKAGES[name])
    try:
        result = round_trip(folder, name, lasting(), {FILES[name]: edit})
    except UsageError as error:
        return str(error.findings[0].received), ()
    return "", result.differences


#: (format, text, its replacement, what the error says)
REFUSED: Mapping[str, tuple[str, str, str, str]] = {
    "another AdamW": ("olmo-core", "AdamWConfig", "SkipStepAdamWConfig", "SkipStepAdamW"),
    "dropout": (
        "olmo-core", "    return config\n", "    config.block.dropout = 0.5\n    return config\n", "block.dropout 0.5",
    ),
    "attention's scale": (
        "olmo-core", "    return config\n",
        "    config.block.sequence_mixer.softmax_scale = 9.0\n    return config\n", "softmax_scale 9.0",
    ),
    "another softmax": (
        "olmo-core", "    return config\n",
        "    config.block.sequence_mixer.scalable_softmax = True\n    return config\n", "scalable_softmax True",
    ),
    "a gain of 5": ("olmo-core", "'lm_head.w_out.weight': 0.5", "'*norm.weight': 5.0, 'lm_head.w_out.weight': 0.5",
                    "at 5, planned 1"),
    "theta": ("torchtitan", "ROPE_THETA = 64, 10000.0", "ROPE_THETA = 64, 5.0", "rope.theta 5.0, written 10000.0"),
    "eps of norms": ("torchtitan", "NORM_EPS = 1e-05", "NORM_EPS = 0.5", "eps 0.5, written 1e-05"),
    "heads of the same shapes": (
        "torchtitan", "HEADS, KV_HEADS, HEAD_DIM = 12, 6, 16", "HEADS, KV_HEADS, HEAD_DIM = 6, 3, 32",
        "attention.n_heads 6, written 12",
    ),
    "gains of 5": ("torchtitan", "nn.init.ones_", "partial(nn.init.constant_, val=5.0)", "at 5, planned 1"),
    "gains of 0": ("torchtitan", "nn.init.ones_", "nn.init.zeros_", "at 0, planned 1"),
    "amsgrad": ("torchtitan", '"lr": ', '"amsgrad": True, "lr": ', "amsgrad True, written 'left out'"),
    "applied forgotten": ("torchtitan", "    return applied(\n", "    return (\n", "applied() was not called"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_an_edit_beside_the_plans_values_is_an_error(name: str, tmp_path: Path) -> None:
    """It is named with what was written."""
    of, old, new, said = REFUSED[name]

    assert said in found(tmp_path, of, (old, new))[0]


#: (text of torchtitan's file, its replacement, the sentence)
DIFFERENT: Mapping[str, tuple[str, str, str]] = {
    "steps": ("training.steps = 100", "training.steps = 3", "steps 3, planned 100"),
    "batch": ("global_batch_size = 8", "global_batch_size = 8000", "batch_size 8000, planned 8"),
    "precision": ("'float32'", "'bfloat16'", "precision bfloat16, planned float32"),
    "floor": ("min_lr_factor=0.0", "min_lr_factor=0.01", "floor 0.01, planned 0"),
}


@pytest.mark.parametrize("name", list(DIFFERENT))
def test_what_the_run_is_given_is_compared(name: str, tmp_path: Path) -> None:
    """Duration, batch, precision and floor, from the configuration that torchtitan is started with."""
    old, new, said = DIFFERENT[name]

    assert f"all parameters: {said}" in [each.sentence for each in found(tmp_path, "torchtitan", (old, new))[1]]


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.parametrize("theta", ["abc", None, True, -1.0])
def test_a_setting_that_is_no_number_is_an_error(theta: object, name: str) -> None:
    """A target.yaml may have been edited into anything."""
    target = llama_target()
    assert target.model is not None
    settings = {**target.model.settings, "rope_theta": theta}
    odd = target.model_copy(update={"model": target.model.model_copy(update={"settings": settings})})

    with pytest.raises(UsageError, match="must be positive numbers") as caught:
        export_target(name, odd)
    assert f"rope_theta {theta!r}" in str(caught.value.findings[0].received)

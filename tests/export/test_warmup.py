"""A warmup that is one step longer is found in every format, and that of the plan is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from tests.support.exported import round_trip
from tests.support.scheduled_formats import FORMATS, MODULE, target

pytestmark = [
    #: torch itself, where torchtitan asks it for its compiler
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"),
    #: torch, of a machine without an accelerator
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_step_more_of_warmup_is_found(name: str, tmp_path: Path) -> None:
    """The step's number and both shares of the peak are said; as it was written it is the plan's."""
    _, file, right, longer = FORMATS[name]
    of = target(name)
    assert round_trip(tmp_path / "right", name, of).schedule is None
    found = round_trip(tmp_path / "longer", name, of, {file: (right, longer)})

    assert (found.schedule or "").startswith("at step ")
    assert "of their peaks, planned" in str(found.schedule)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_deepspeeds_other_schedules_are_compared_exactly(schedule: str, tmp_path: Path) -> None:
    """They begin two steps late; a linear decay is a step late, a cosine is not."""
    made = target("deepspeed", schedule)
    assert made.training is not None
    made = made.model_copy(update={"training": made.training.model_copy(update={"floor": 0.0})})
    edit = {"ds_config.json": FORMATS["deepspeed"][2:]}

    assert round_trip(tmp_path / "right", "deepspeed", made).schedule is None
    assert round_trip(tmp_path / "longer", "deepspeed", made, edit).schedule is not None


def test_a_step_more_in_the_plans_own_form_contradicts_its_table(tmp_path: Path) -> None:
    """plan.yaml has the shares of some steps beside the formula."""
    made = target("torch")
    with pytest.raises(UsageError, match=r"schedule\.factors"):
        round_trip(tmp_path, "yaml", made, {"plan.yaml": ("warmup_steps: 10", "warmup_steps: 11")})


def test_a_step_more_in_the_function_for_own_scripts_is_found(tmp_path: Path) -> None:
    """Trainer's schedule and the module's `factor` are compared, each as it counts."""
    edit = {"hptransfer_hf.py": (MODULE, MODULE.replace("10,", "11,"))}

    assert "planned" in str(round_trip(tmp_path, "huggingface", target("huggingface"), edit).schedule)


@pytest.mark.parametrize("schedule", ["constant", "linear", "wsd", "inverse-sqrt"])
def test_automodels_other_schedules_are_compared_exactly(schedule: str, tmp_path: Path) -> None:
    """Its peak, its first rate and its decay lie a step apart from the plan's, in a way of their own in each."""
    made = target("automodel", schedule)
    assert made.training is not None
    floor = 0.0 if schedule == "inverse-sqrt" else 0.1
    made = made.model_copy(update={"training": made.training.model_copy(update={"floor": floor})})
    rising = 10 if schedule == "inverse-sqrt" else 9
    edit = {"automodel.yaml": (f"lr_warmup_steps: {rising}\n", f"lr_warmup_steps: {rising + 1}\n")}

    assert round_trip(tmp_path / "right", "automodel", made).schedule is None
    assert round_trip(tmp_path / "longer", "automodel", made, edit).schedule is not None

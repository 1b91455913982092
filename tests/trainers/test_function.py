"""The user's own training loop: what it gets, what becomes of what it returns, reports and raises."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.testing.trainers import TrainerConformance
from hptransfer.trainers._trial_run import plain_number
from hptransfer.trainers.base import TRAINERS, Trainer, trainer_identity
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState
from tests.support.tiny import recipe

HERE = "tests.trainers.test_function"


def valley(trial: Any) -> float:
    """A parabola around 2^-6, reported at every step."""
    x = math.log2(trial.hyperparameters["learning_rate"])
    for step in range(1, trial.steps + 1):
        trial.report(step, 3 + 1 / step)
    return 2 + 0.05 * (x + 6) ** 2


def accuracy(trial: Any) -> float:
    """The more the better."""
    trial.report(1, 0.25)
    return 0.75


def blows_up(trial: Any) -> float:
    """Its second loss is no number."""
    trial.report(1, 3.0)
    trial.report(2, math.nan)
    raise AssertionError("nobody goes on after a value that is not finite")


def ends_at_infinity(trial: Any) -> float:
    """Nothing is reported, and the final value is no number."""
    return math.inf


def says_nothing(trial: Any) -> None:
    """Forgets its result."""


def swallows(trial: Any) -> float:
    """Catches what ends its run, and goes on."""
    with contextlib.suppress(Exception):
        trial.report(1, trial.arguments.get("value", math.nan))
    return 2.0


def reports(trial: Any) -> float:
    """Two steps, the second of which is asked for."""
    trial.report(5, 3.0)
    trial.report(STEPS[trial.arguments["step"]], 2.5)
    return 2.0


def returns(trial: Any) -> object:
    """What is asked for."""
    return RESULTS[trial.arguments["what"]]


def costs(trial: Any) -> float:
    """Says its FLOPs."""
    trial.flops = FLOPS[trial.arguments["flops"]]
    return 2.0


STEPS: dict[Any, Any] = {
    "text": "7",
    "none": 0,
    "negative": -3,
    "fraction": 7.9,
    "back": 3,
    "huge": 10**30,
    "infinite": math.inf,
    "truth": True,
    "whole": 7.0,
    "numpy": np.int64(7),
    "again": 5,
    "last": 2**53,
}
RESULTS: dict[Any, Any] = {
    "text": "2.5",
    "truth": True,
    "numpy's truth": np.bool_(True),
    "a vector": np.ones(1),
    "a complex": 1j,
    "beyond floats": 10**400,
    "float": 2.5,
    "int": 3,
    "numpy": np.float32(2.5),
    "array": np.array(2.5),
}
FLOPS: dict[Any, Any] = {"nan": math.nan, "infinite": math.inf, "negative": -1.0, "text": "1e9", "count": 10**9}


def raises(trial: Any) -> float:
    """Fails in the user's code."""
    raise ZeroDivisionError("in my loop")


def needs_a_plan(trial: Any) -> float:
    """Asks for what a recipe without a model cannot have."""
    return float(len(trial.plan.rows))


def own_loop(trial: Any) -> float:
    """The model of the recipe, trained for a few steps on random text."""
    import torch
    from torch.nn import functional

    from hptransfer.models.build import build_model

    model = build_model(recipe().model, trial.size.width, trial.size.depth)
    trial.plan.init_(model, trial.seed)
    optimizer = torch.optim.AdamW(trial.plan.param_groups(model))
    torch.manual_seed(trial.seed)
    for step in range(1, trial.steps + 1):
        text = torch.randint(0, 256, (trial.size.batch_size, 5))
        loss = functional.cross_entropy(model(text[:, :-1]), text[:, -1])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        trial.report(step, loss.item())
    return loss.item()


def asked(function: str, folder: Path, arguments: Mapping[str, Any] | None = None, **sections: Any) -> TrialMessage:
    """A run of a function of this module at the tiny size."""
    wanted = recipe(trainer={"function": f"{HERE}:{function}", "arguments": arguments or {}}, **sections)
    return TrialMessage.of(TrialSpec(wanted, folder, wanted.size(16, 2), {"learning_rate": 2.0**-7}, 1), "k")


def trained(function: str, folder: Path, **sections: Any) -> Trial:
    """The record of such a run."""
    return TRAINERS.look_up("function").run(asked(function, folder, **sections)).finished()


class TestValley(TrainerConformance):
    """A function that needs no torch."""

    def trainer(self) -> Trainer:
        """By its name."""
        return TRAINERS.look_up("function")

    def message(self, folder: Path) -> TrialMessage:
        """Without model and data."""
        return asked("valley", folder)


class TestOwnLoop(TrainerConformance):
    """A loop in torch, by the plan of the recipe's model."""

    def trainer(self) -> Trainer:
        """By its name."""
        return TRAINERS.look_up("function")

    def message(self, folder: Path) -> TrialMessage:
        """With a model."""
        return asked("own_loop", folder)


def test_reported_values_are_the_curve(tmp_path: Path) -> None:
    """Five steps, five points."""
    trial = trained("valley", tmp_path)

    assert trial.curve == ((1, 4.0), (2, 3.5), (3, 3 + 1 / 3), (4, 3.25), (5, 3.2))
    assert trial.loss == pytest.approx(2.05)


def test_reported_values_are_announced_as_they_come(tmp_path: Path) -> None:
    """Whoever listens hears of each, before the function returns."""
    heard: list[tuple[int, float]] = []

    def listen(step: int, loss: float) -> bool:
        heard.append((step, loss))
        return step == 3

    ended = TRAINERS.look_up("function").run(asked("valley", tmp_path), listen).finished()

    assert heard == [(1, 4.0), (2, 3.5), (3, 3 + 1 / 3)]
    assert ended.state is TrialState.STOPPED


def test_what_is_maximized_is_kept_with_its_sign_changed(tmp_path: Path) -> None:
    """Trials are compared by what is minimized, whatever the objective."""
    trial = trained("accuracy", tmp_path, objective={"name": "accuracy", "direction": "maximize"})

    assert (trial.loss, trial.curve) == (-0.75, ((1, -0.25),))


@pytest.mark.parametrize("function", ["blows_up", "ends_at_infinity"])
def test_a_value_that_is_not_finite_is_divergence(function: str, tmp_path: Path) -> None:
    """On the way and at the end."""
    trial = trained(function, tmp_path)

    assert trial.state is TrialState.DIVERGED
    assert trial.loss == math.inf


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        ("says_nothing", "a training function must return the final value of the objective, a number"),
        ("nowhere", "the training function must be importable"),
    ],
)
def test_what_is_no_result_is_the_users_error(function: str, rule: str, tmp_path: Path) -> None:
    """It is named, with what was received."""
    with pytest.raises(UsageError) as caught:
        trained(function, tmp_path)

    assert caught.value.findings[0].rule == rule
    assert HERE in str(caught.value.findings[0].received)


def test_a_function_that_catches_the_end_of_its_run_is_diverged_or_stopped(tmp_path: Path) -> None:
    """What it returns afterwards is no result."""
    diverged = trained("swallows", tmp_path)
    asked_to_end = asked("swallows", tmp_path, {"value": 3.0})
    stopped = TRAINERS.look_up("function").run(asked_to_end, lambda step, loss: True).finished()

    assert (diverged.state, diverged.loss) == (TrialState.DIVERGED, math.inf)
    assert (stopped.state, stopped.loss) == (TrialState.STOPPED, math.inf)


def test_a_function_that_catches_a_refusal_is_refused(tmp_path: Path) -> None:
    """A value that is no number is not dropped."""
    with pytest.raises(UsageError, match=r"takes a value, a number, at step 1; received: str low"):
        trained("swallows", tmp_path, arguments={"value": "low"})


@pytest.mark.parametrize("step", ["text", "none", "negative", "fraction", "huge", "infinite", "truth"])
def test_a_step_is_a_whole_number(step: str, tmp_path: Path) -> None:
    """The rule, and what was given."""
    with pytest.raises(UsageError, match=r"a whole number from 1 to 2\*\*53; received: ") as caught:
        trained("reports", tmp_path, arguments={"step": step})

    assert str(STEPS[step]) in str(caught.value)


def test_steps_do_not_go_back(tmp_path: Path) -> None:
    """As for commands: a curve that goes back is two runs."""
    with pytest.raises(UsageError, match=r"reported steps must not go back; received: step 3 after 5"):
        trained("reports", tmp_path, arguments={"step": "back"})


@pytest.mark.parametrize(
    ("step", "curve"),
    [
        ("whole", ((5, 3.0), (7, 2.5))),
        ("numpy", ((5, 3.0), (7, 2.5))),
        ("again", ((5, 2.5),)),
        ("last", ((5, 3.0), (2**53, 2.5))),
    ],
)
def test_steps_that_are_taken(step: str, curve: object, tmp_path: Path) -> None:
    """Whole numbers of every kind; the same step again replaces its value."""
    assert trained("reports", tmp_path, arguments={"step": step}).curve == curve


@pytest.mark.parametrize("what", ["text", "truth", "numpy's truth", "a vector", "a complex", "beyond floats"])
def test_a_result_that_is_no_number_is_refused(what: str, tmp_path: Path) -> None:
    """Also what Python would turn into one."""
    with pytest.raises(
        UsageError, match=rf"a number; received: {HERE}:returns returned {type(RESULTS[what]).__name__}"
    ):
        trained("returns", tmp_path, arguments={"what": what})


@pytest.mark.parametrize("what", ["float", "int", "numpy", "array"])
def test_a_result_may_be_a_number_of_any_kind(what: str, tmp_path: Path) -> None:
    """Of Python, or of numpy."""
    assert trained("returns", tmp_path, arguments={"what": what}).loss == float(RESULTS[what])


def test_a_tensor_without_dimensions_is_a_number() -> None:
    """One with a gradient too; a vector of one is none."""
    import torch

    assert plain_number(torch.tensor(2.5, requires_grad=True)) == 2.5
    assert plain_number(torch.tensor(3)) == 3.0
    assert plain_number(torch.tensor([2.5])) is None
    assert plain_number(torch.tensor(True)) is None


@pytest.mark.parametrize("flops", ["nan", "infinite", "negative", "text"])
def test_flops_are_finite(flops: str, tmp_path: Path) -> None:
    """Else every sum of what was spent would be lost."""
    with pytest.raises(UsageError, match=r"`trial.flops` must be a finite number, at least 0; received: "):
        trained("costs", tmp_path, arguments={"flops": flops})


def test_flops_are_kept(tmp_path: Path) -> None:
    """As they were set."""
    assert trained("costs", tmp_path, arguments={"flops": "count"}).flops == 1e9


def test_what_the_function_raises_fails_the_trial(tmp_path: Path) -> None:
    """The worker reports it with its place; nothing is made of it here."""
    with pytest.raises(ZeroDivisionError, match="in my loop"):
        trained("raises", tmp_path)


def test_a_plan_needs_a_model(tmp_path: Path) -> None:
    """The hint says which line to add."""
    message = asked("needs_a_plan", tmp_path)
    document = message.recipe.model_dump(mode="json") | {"model": {"kind": "external"}, "data": {"kind": "external"}}
    without = message.model_copy(update={"recipe": Recipe.model_validate(document, strict=False)})

    with pytest.raises(UsageError) as caught:
        TRAINERS.look_up("function").run(without)

    assert "kind: factory" in str(caught.value.findings[0].hint)


def test_the_functions_code_is_part_of_the_identity(tmp_path: Path) -> None:
    """Its module's digest is there; a comment changes nothing, another constant does."""
    module = tmp_path / "my_loop_for_digests.py"
    wanted = recipe(trainer={"function": "my_loop_for_digests:train"})

    def code(text: str) -> str:
        module.write_text(text)
        return trainer_identity(wanted, tmp_path).code["my_loop_for_digests"]

    first = code("def train(trial):\n    return 1.0\n")

    assert code("def train(trial):  # a comment\n    return 1.0\n") == first
    assert code("def train(trial):\n    return 2.0\n") != first


def test_modules_are_found_in_the_recipes_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of a worker looks there too, after every other place."""
    from hptransfer.trainers._tasks import run_trial

    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    (tmp_path / "my_loop_beside_the_recipe.py").write_text("def train(trial):\n    return 1.5\n")
    wanted = recipe(trainer={"function": "my_loop_beside_the_recipe:train"})
    message = TrialMessage.of(TrialSpec(wanted, tmp_path, wanted.size(16, 2), {}, 1), "k")

    assert run_trial(message.payload())["trial"]["loss"] == 1.5


def test_an_example_of_data_that_only_the_trainer_reads_counts_as_one(tmp_path: Path) -> None:
    """Whatever context a model has by default, and the same after a message's trip through JSON."""
    model = {"kind": "factory", "factory": "m:f", "embedding": None, "context": None}
    wanted = recipe(trainer={"function": f"{HERE}:valley"}, model=model, data={"kind": "external"})
    spec = TrialSpec(wanted, tmp_path, wanted.size(16, 2), {}, 1)
    travelled = TrialMessage.parse(TrialMessage.of(spec, "k").payload()).spec
    longer = recipe(
        trainer={"function": f"{HERE}:valley"}, model=model, data={"kind": "external", "predictions_per_example": 32}
    )

    assert wanted.predictions_per_example == travelled.recipe.predictions_per_example == 1
    assert travelled.recipe.steps(travelled.size) == 5
    assert longer.size(16, 2).tokens == 32 * wanted.size(16, 2).tokens

"""hptransfer scale: writes the target when the check supports it, and otherwise refuses for each reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import hptransfer
from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import read_transfer
from hptransfer.cli.options import UseChoice
from hptransfer.engine.identity import identity_of_recipe
from hptransfer.errors import HptransferError, InconclusiveError, RefusedError, UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.scaling.ahead import look_ahead
from hptransfer.scaling.objections import no_target
from hptransfer.storage.run_folder import RunFolder
from tests.support.checked_folder import Folder
from tests.support.transfer_files import ladder_of
from tests.support.tuned_results import tuned_result


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A checked recipe."""
    return Folder(tmp_path)


def test_it_writes_the_target_with_its_evidence(folder: Folder) -> None:
    """Tuned values, verdict, extrapolation and provenance are in the file."""
    assert folder.scale() == 0
    document = folder.document()

    assert document["hyperparameters"]["learning_rate"] == 0.03125
    assert document["hyperparameters"]["weight_decay"] == 0.1  # not searched: the recipe's
    assert document["verdict"]["verdict"] == "TRANSFERS"
    assert document["verdict"]["sentence"] == "learning_rate carries over."
    (axis,) = document["verdict"]["axes"]
    assert (axis["axis"], axis["sizes"]) == ("width", [16, 32])
    assert axis["drift"]["estimate"] == pytest.approx(0, abs=0.01)
    assert document["verdict"]["forced"] is False
    assert document["provenance"]["recipe_hash"] == folder.hash
    assert document["provenance"]["data_fingerprint"] == "f" * 64
    assert set(document["provenance"]["versions"]) >= {"hptransfer", "torch", "python"}
    assert document["training"]["steps"] == 5  # 10 steps of 4 examples are 5 of 8


def test_the_file_is_usable(folder: Folder) -> None:
    """load_plan reads it and its groups fit the recipe's model at the target."""
    folder.scale()
    model = folder.model()
    loaded = hptransfer.load_plan(folder.target)
    loaded.init_(model, seed=0)

    assert len(loaded.param_groups(model)) == 5


def test_options_choose_the_size_and_the_file(folder: Folder, tmp_path: Path) -> None:
    """The command line goes before the recipe's target."""
    folder.scale(width=128, depth=4, batch_size=16, tokens=12800, output=tmp_path / "other.yaml")
    document = yaml.safe_load((tmp_path / "other.yaml").read_text())

    assert document["size"] == {"width": 128, "depth": 4, "batch_size": 16, "tokens": 12800}
    assert document["training"]["steps"] == 100  # 12800 / (16 sequences of 8 positions)
    assert not folder.target.exists()


def test_extrapolation_counts_from_what_was_trained(folder: Folder) -> None:
    """An axis that the check did not vary was trained at the proxy's value only."""
    folder.scale()
    reached = {entry["axis"]: (entry["checked_up_to"], entry["factor"]) for entry in folder.document()["extrapolation"]}

    assert reached == {"width": (32, 2.0), "depth": (2, 4.0), "batch_size": (4, 2.0), "tokens": (320, 1.0)}


def test_it_prints_a_summary(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """The file, the verdict and the distances go to stdout."""
    folder.scale()
    text = capsys.readouterr().out

    assert str(folder.target) in text
    assert "TRANSFERS: learning_rate carries over." in text
    assert "depth 8 lies 4 times beyond the largest trained (2): by theory alone" in text


def test_json_is_the_document(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints what the file holds, with null where a number is infinite."""
    folder.write_tuned(intervals={"learning_rate": (0.02, None)})
    folder.scale(as_json=True)
    document = json.loads(capsys.readouterr().out)

    assert document["format"] == 1
    assert document["provenance"]["intervals"] == {"learning_rate": [0.02, None]}


def no_check(folder: Folder) -> None:
    """Tuned, never checked."""
    (folder.runs / "tiny" / "transfer.json").unlink()


def without_identity(folder: Folder) -> None:
    """Evidence from which the identity was removed is no way around it."""
    folder.write_tuned(identity="")
    folder.write_transfer(identity="")


REFUSALS: dict[str, tuple[Callable[[Folder], None], type[HptransferError], int, str]] = {
    "drifts": (
        lambda folder: folder.write_transfer(verdict="DRIFTS", sentence="It drifts."),
        RefusedError,
        1,
        "It drifts.",
    ),
    "missing": (no_check, RefusedError, 1, "never checked"),
    "other recipe": (lambda folder: folder.write_transfer(recipe_hash="0"), RefusedError, 1, "another version"),
    "tuned for another": (lambda folder: folder.write_tuned(recipe_hash="0"), RefusedError, 1, "another version"),
    "inconclusive": (
        lambda folder: folder.write_transfer(verdict="INCONCLUSIVE", sentence="Unclear."),
        InconclusiveError,
        3,
        "Unclear.",
    ),
    "tuned under other rules": (
        lambda folder: folder.write_tuned(identity="0" * 64),
        RefusedError,
        1,
        "the hyperparameters were tuned under other rules, code or data",
    ),
    "tuned under rules that are not said": (
        without_identity,
        RefusedError,
        1,
        "the hyperparameters were tuned under other rules, code or data",
    ),
    "another value than was checked": (
        lambda folder: folder.write_tuned(hyperparameters={**tuned_result().hyperparameters, "learning_rate": 0.02}),
        RefusedError,
        1,
        "transfer was checked at learning_rate 0.03125, but 0.02 is tuned",
    ),
    "checked under other rules": (
        lambda folder: folder.write_transfer(identity="0" * 64),
        RefusedError,
        1,
        "transfer was checked under other rules, code or data",
    ),
    "inconclusive and of another recipe": (
        lambda folder: folder.write_transfer(verdict="INCONCLUSIVE", recipe_hash="0"),
        RefusedError,
        1,
        "another version",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_it_refuses_without_evidence(folder: Folder, case: str) -> None:
    """Each missing support has its exit status, is named, and leaves no file."""
    break_it, kind, status, said = REFUSALS[case]
    break_it(folder)

    with pytest.raises(kind) as caught:
        folder.scale()

    assert caught.value.exit_status == status
    assert said in str(caught.value.findings[0].received)
    assert "--force" in str(caught.value.findings[0].hint)
    assert not folder.target.exists()


def test_evidence_of_the_present_rules_code_and_data_is_used(folder: Folder) -> None:
    """The digest of a session is what scale compares, and what it writes."""
    now = identity_of_recipe(load_recipe(folder.recipe), RunFolder(folder.runs / "tiny"))
    folder.write_tuned(identity=now)
    folder.write_transfer(identity=now)

    assert folder.scale() == 0
    assert folder.document()["provenance"]["identity"] == now


@pytest.mark.parametrize("case", REFUSALS)
def test_forced_files_say_so(folder: Folder, case: str) -> None:
    """--force writes the file with the objection inside."""
    break_it, _, _, said = REFUSALS[case]
    break_it(folder)

    assert folder.scale(force=True) == 0
    assert "# FORCED" in folder.target.read_text()
    assert folder.document()["verdict"]["forced"] is True
    assert said in str(folder.document()["verdict"]["objections"])


def test_nothing_tuned_cannot_be_forced(folder: Folder) -> None:
    """Without tuned hyperparameters there is nothing to write."""
    (folder.runs / "tiny" / "tuned.yaml").unlink()

    with pytest.raises(UsageError, match=r"no .*tuned\.yaml"):
        folder.scale(force=True)


@pytest.mark.parametrize(("axis", "value"), [("width", 8), ("depth", 1)])
def test_targets_smaller_than_the_base_are_refused(folder: Folder, axis: str, value: int) -> None:
    """Transfer goes from small to large."""
    with pytest.raises(UsageError, match=f"`target.{axis} >= base.{axis}`"):
        folder.scale(**{axis: value})


def test_widths_that_heads_do_not_divide_are_refused(folder: Folder) -> None:
    """A target that cannot be built is a usage error, and nothing is written."""
    with pytest.raises(UsageError, match="head_dim"):
        folder.scale(width=100)
    assert not folder.target.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tuned.yaml", "[1"),
        ("tuned.yaml", "just text"),
        ("tuned.yaml", "hyperparameters: {}"),
        ("tuned.yaml", "hyperparameters: {learning_rate: fast}"),
        ("tuned.yaml", "hyperparameters: {learning_rate: .nan}"),
        ("tuned.yaml", "hyperparameters: {speed: 1.0}"),
        ("transfer.json", "{"),
        ("transfer.json", "[]"),
        ("transfer.json", '{"verdict": "MAYBE"}'),
    ],
)
def test_damaged_files_are_usage_errors(folder: Folder, name: str, text: str) -> None:
    """What tune and check did not write is refused by file name."""
    (folder.runs / "tiny" / name).write_text(text)

    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        folder.scale()


def test_tuned_multipliers_are_in_the_rows(folder: Folder) -> None:
    """What was tuned for a role reaches its rows, those at 1 take no line, and the file's reader applies them."""
    folder.scale()
    before = rows_by_pattern(folder)
    values = {"learning_rate": 0.03125, "readout_learning_rate": 4.0, "hidden_init": 0.5, "embedding_init": 1.0}
    folder.write_tuned(hyperparameters=values)
    folder.scale()
    document = folder.document()
    after = rows_by_pattern(folder)

    assert document["hyperparameters"]["readout_learning_rate"] == 4.0
    assert "embedding_init" not in document["hyperparameters"]
    readout, hidden = r"readout\.weight", r"blocks\.\d+\.up\.weight"
    assert after[readout]["learning_rate"] == 4 * before[readout]["learning_rate"]
    assert after[readout]["rules"]["learning_rate"].startswith("readout_learning_rate")
    assert after[hidden]["init_std"] == 0.5 * before[hidden]["init_std"]
    assert after[hidden]["learning_rate"] == before[hidden]["learning_rate"]
    rates = {group["name"]: group["lr"] for group in hptransfer.load_plan(folder.target).param_groups(folder.model())}
    assert rates[readout] == after[readout]["learning_rate"]


def rows_by_pattern(folder: Folder) -> dict[str, Any]:
    """The file's rows."""
    document: Any = folder.document()
    return {row["pattern"]: row for row in document["parameters"]}


def test_a_target_that_the_check_does_not_reach_ends_with_status_3(folder: Folder) -> None:
    """Depth and batch were never varied: the file is written, says so axis by axis, and the status is 3."""
    folder.recipe.write_text(folder.recipe.read_text().replace(", accept: [depth, batch_size]", ""))

    assert folder.scale() == 3
    scope = folder.document()["scope"]
    assert not scope["covered"]
    assert {axis["axis"]: axis["standing"] for axis in scope["axes"]} == {
        "width": "covered", "depth": "not covered", "batch_size": "not covered",
    }  # fmt: skip
    assert "# NOT COVERED" in folder.target.read_text()
    assert folder.document()["use"] == {"use": "tuned", "predicted": {}}
    assert folder.scale(force=True) == 0
    assert "# FORCED" in folder.target.read_text()
    assert "NOT COVERED" in folder.document()["verdict"]["objections"][0]


def test_what_the_recipe_accepts_is_recorded_as_accepted(folder: Folder) -> None:
    """The recipe accepts depth and batch: status 0, and the file says that no check covers them."""
    assert folder.scale() == 0
    scope = folder.document()["scope"]
    standings = {axis["axis"]: axis["standing"] for axis in scope["axes"]}
    assert standings["depth"] == standings["batch_size"] == "accepted"
    assert (scope["covered"], scope["accepted"], scope["settled"]) == (False, True, True)
    assert "# ACCEPTED" in folder.target.read_text()
    assert "# NOT COVERED" not in folder.target.read_text()


@pytest.mark.parametrize(("axis", "within", "beyond"), [("depth", 4, 16), ("batch_size", 8, 4096)])
def test_what_is_accepted_holds_for_the_recipes_own_target(
    folder: Folder, axis: str, within: int, beyond: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """It accepts depth up to 8 and a batch up to 8: what lies further is not covered, and the page says what to do."""
    tokens = 64 * beyond if axis == "batch_size" else None
    sizes = {"depth": 2, "batch_size": 4}
    assert folder.scale(**sizes | {axis: within}) == 0
    capsys.readouterr()
    status = folder.scale(**sizes | {axis: beyond, "tokens": tokens})

    assert status == 3
    assert f"the recipe accepts {axis.replace('_', ' ')} up to 8 only" in capsys.readouterr().out
    standings = {each["axis"]: each["standing"] for each in folder.document()["scope"]["axes"]}
    assert standings[axis] == "not covered"


def test_accepting_width_and_tokens_names_the_ratio_that_is_missing(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Depth, batch and tokens are accepted; what they do together is a name of its own."""
    text = folder.recipe.read_text()
    there = "batch_size: 8, tokens: 64000, accept: [depth, batch_size, tokens{more}]"
    folder.recipe.write_text(text.replace("batch_size: 8, accept: [depth, batch_size]", there.format(more="")))
    assert folder.scale() == 3
    assert "add `tokens_per_parameter` to the recipe's `sizes.target.accept`" in capsys.readouterr().out

    folder.recipe.write_text(
        text.replace("batch_size: 8, accept: [depth, batch_size]", there.format(more=", tokens_per_parameter"))
    )
    assert folder.scale() == 0


def test_files_of_before_acceptance_had_a_word_are_read(folder: Folder) -> None:
    """At first `covered` was true where axes are accepted: such a file says now what its axes say."""
    folder.scale()
    document = folder.document()
    old = {key: value for key, value in document["scope"].items() if key not in ("accepted", "settled")}
    folder.target.write_text(yaml.safe_dump(document | {"scope": old | {"covered": True}}))
    read = TargetFile.read(folder.target, missing=lambda: AssertionError("it is there"))

    assert read.scope is not None
    assert (read.scope.covered, read.scope.accepted, read.scope.settled) == (False, True, True)


def test_the_predicted_optimum_can_be_used(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """-5 at width 16, a quarter octave per doubling: 2^-4 at width 256, from widths 16 to 128."""
    drifting = [run for k, width in enumerate((16, 32, 64, 128)) for run in ladder_of((width,), optimum=-5 + 0.25 * k)]
    folder.write_transfer(drifting, verdict="DRIFTS", sentence="it drifts.")
    with pytest.raises(RefusedError, match="only for hyperparameters that were shown to transfer") as refused:
        folder.scale(width=256, depth=2, batch_size=4)
    status = folder.scale(width=256, depth=2, batch_size=4, use=UseChoice.PREDICTED)
    document = folder.document()
    used = document["use"]["predicted"]["learning_rate"]

    command = f"hptransfer scale {folder.recipe} --runs {folder.runs} --width 256 --depth 2 --batch-size 4"
    assert f"`{command} --use predicted`" in str(refused.value.findings[0].hint)
    assert document["use"]["use"] == "predicted"
    assert used["low"] < 2.0**-4 < used["high"]
    assert used["value"] == document["hyperparameters"]["learning_rate"] == pytest.approx(2.0**-4, rel=0.1)
    assert "path of its optima" in used["basis"]
    assert document["prediction"]["value"] == used["value"]
    assert "# use: predicted" in folder.target.read_text()
    assert status == (0 if document["scope"]["settled"] else 3)
    said = capsys.readouterr().out
    assert "use: predicted" in said
    assert "of the tuned value, which is not used, the check says DRIFTS" in said
    scope = document["scope"]
    # the tuned value lies an octave below what is needed there: 0.03 nats
    assert (scope["value"], scope["tuned"]) == (used["value"], 2.0**-5)
    assert scope["gain"]["low"] > 0
    assert "over the tuned 0.0312" in scope["sentence"]


def test_run_offers_the_predicted_optimum_too(folder: Folder) -> None:
    """After DRIFTS the page of `run` names what `scale` would, and only where the ladder bounds it."""
    drifting = [run for k, width in enumerate((16, 32, 64, 128)) for run in ladder_of((width,), optimum=-5 + 0.25 * k)]
    folder.write_transfer(drifting, verdict="DRIFTS", sentence="it drifts.")
    recipe = load_recipe(folder.recipe)
    checked = read_transfer(RunFolder(folder.runs / "tiny").transfer)
    near, far = (
        look_ahead(recipe.recipe, recipe.root, recipe.recipe.target_size(width, 2, 4), checked)
        for width in (256, 2**19)
    )
    assert checked is not None
    said, unsaid = (no_target(checked, ahead, "tiny.yaml", ["--runs", "x y"]) for ahead in (near, far))

    assert "`hptransfer scale tiny.yaml --runs 'x y' --use predicted`" in said
    assert "--force" in said
    assert "predicted" not in unsaid


def test_a_prediction_that_is_not_bounded_is_not_used(folder: Folder) -> None:
    """Two sizes show no path over twelve doublings: refused."""
    folder.write_transfer(ladder_of((16, 32)))

    with pytest.raises(RefusedError, match="only for hyperparameters that were shown to transfer") as refused:
        folder.scale(width=2**17, depth=2, batch_size=4, use=UseChoice.PREDICTED)
    assert "does not bound learning_rate" in str(refused.value)

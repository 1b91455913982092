"""`scale` registers a prediction; `verify` compares a finished run with it and refuses an edited one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from hptransfer.transfer.prediction import digest
from tests.support.checked_folder import Folder
from tests.support.transfer_files import ladder_of


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A recipe that was tuned and checked along width, with its target written."""
    folder = Folder(tmp_path)
    folder.write_transfer(ladder_of((16, 32, 64, 128)))  # 1.5 + 8 / sqrt(width)
    assert folder.scale(width=512, depth=2, batch_size=4) == 0
    return folder


def verify(folder: Folder, loss: object, *options: str) -> Result:
    """Run `verify`."""
    arguments = ["verify", str(folder.recipe), str(loss), "--runs", str(folder.runs), *options]
    return CliRunner().invoke(app, arguments)


def test_scale_registers_a_prediction(folder: Folder) -> None:
    """Content, date and the hash of both; the true loss at width 512, 1.8536, lies in the interval."""
    prediction = folder.document()["prediction"]

    assert prediction["sha256"] == digest(prediction)
    assert str(prediction["written"]).startswith("20")
    assert prediction["loss"]["low"] < 1.8536 < prediction["loss"]["high"]
    assert prediction["optimum"]["low"] < 2.0**-5 < prediction["optimum"]["high"]


@pytest.mark.parametrize(("loss", "status", "word"), [("1.8536", 0, "INSIDE"), ("2.5", 1, "OUTSIDE"),
                                                      ("1.2", 1, "OUTSIDE"), ("nan", 1, "OUTSIDE")])  # fmt: skip
def test_a_loss_is_inside_or_outside(folder: Folder, loss: str, status: int, word: str) -> None:
    """The exit status says which; a run that diverged lies outside."""
    result = verify(folder, loss)

    assert (result.exit_code, result.stdout.split(":")[0]) == (status, word)
    assert json.loads(verify(folder, loss, "--json").stdout)["inside"] is (status == 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.csv", "step,loss\n300,1.8536\n100,9.0\n200,5.0\n"),
        ("seeds.csv", "seed,val_loss\n0,1.8436\n1,1.8636\n"),
        ("final.json", '{\n  "val_loss": 1.8536,\n  "config": {"width": 512}\n}'),
    ],
)
def test_the_loss_can_come_from_a_file(folder: Folder, tmp_path: Path, name: str, content: str) -> None:
    """The last step of a history, the mean of seeds, a JSON object."""
    (tmp_path / name).write_text(content)

    assert json.loads(verify(folder, tmp_path / name, "--json").stdout)["loss"] == pytest.approx(1.8536)


def test_an_edited_prediction_is_refused(folder: Folder) -> None:
    """Widening the interval afterwards is seen, even where the run would lie inside."""
    document = folder.document()
    document["prediction"]["loss"]["high"] = 99.0
    folder.target.write_text(yaml.safe_dump(document))
    result = verify(folder, "2.5")

    assert result.exit_code == 2
    assert "must be as it was written" in result.stderr


def test_reformatting_is_no_edit(folder: Folder) -> None:
    """Another order of keys and another layout of the file leave the content, and so the hash, as they are."""
    folder.target.write_text(yaml.safe_dump(folder.document(), sort_keys=True, default_flow_style=True))

    assert verify(folder, "1.8536").exit_code == 0


def test_without_a_prediction_there_is_nothing_to_verify(folder: Folder) -> None:
    """No file: exit status 2. A target of more tokens, which no check covered: no loss is predicted, status 3."""
    folder.scale(width=512, depth=2, batch_size=4, tokens=10**9)
    unchecked = verify(folder, "1.8536")
    folder.target.unlink()

    assert unchecked.exit_code == 3
    assert "tokens was not checked" in unchecked.stderr
    assert verify(folder, "1.8536").exit_code == 2


def test_the_target_itself_can_be_named(folder: Folder) -> None:
    """The file that holds the prediction is enough: the recipe may be elsewhere."""
    result = CliRunner().invoke(app, ["verify", str(folder.target), "1.8536"])

    assert result.exit_code == 0


def evaluation_of(folder: Folder) -> str:
    """What the prediction was registered for."""
    said: str = folder.document()["prediction"]["objective"]["evaluation"]
    return said


def test_a_loss_of_another_evaluation_is_refused(folder: Folder) -> None:
    """The same runs gave 2.437 on 1,024 windows and 2.528 on 20,000: another set is another number."""
    result = verify(folder, "1.8536", "--evaluation", "20,000 windows of C4")

    assert result.exit_code == 2
    assert "and for no other" in result.stderr
    assert verify(folder, "1.8536", "--evaluation", "20,000 windows of C4", "--any-evaluation").exit_code == 0


def test_the_evaluation_can_be_named_by_its_text_or_its_fingerprint(folder: Folder) -> None:
    """What target.yaml holds, whole or by the sha256 in it."""
    whole = evaluation_of(folder)
    digest = whole.rsplit("sha256 ", 1)[1].rstrip(")")

    assert verify(folder, "1.8536", "--evaluation", whole).exit_code == 0
    assert verify(folder, "1.8536", "--evaluation", f"sha256 {digest}ab").exit_code == 0
    assert verify(folder, "1.8536", "--evaluation", "0123abcd").exit_code == 2


def test_a_file_names_its_evaluation(folder: Folder, tmp_path: Path) -> None:
    """A column says what losses are measured on; another set is refused, two sets are no loss."""
    same, other, two = (tmp_path / f"{name}.csv" for name in ("same", "other", "two"))
    same.write_text(f'seed,val_loss,evaluation\n0,1.8536,"{evaluation_of(folder)}"\n')
    other.write_text("seed,val_loss,evaluation\n0,1.8536,pile\n")
    two.write_text("seed,val_loss,evaluation\n0,1.8536,pile\n1,1.8536,c4\n")

    assert verify(folder, same).exit_code == 0
    assert json.loads(verify(folder, same, "--json").stdout)["evaluation"] == evaluation_of(folder)
    assert verify(folder, other).exit_code == 2
    assert "measured on one set" in verify(folder, two).stderr


def test_a_loss_without_a_word_on_its_evaluation_is_taken_for_the_registered_one(folder: Folder) -> None:
    """And that is said."""
    assert "taken to be measured there" in verify(folder, "1.8536").stdout


def test_a_sweep_is_no_finished_run(folder: Folder, tmp_path: Path) -> None:
    """The mean over learning rates is nobody's loss."""
    path = tmp_path / "sweep.csv"
    path.write_text("learning_rate,seed,val_loss\n0.01,0,1.8\n0.02,0,1.9\n")
    result = verify(folder, path)

    assert result.exit_code == 2
    assert "several values of learning_rate" in result.stderr


def test_histories_of_several_seeds_end_at_their_own_last_steps(folder: Folder, tmp_path: Path) -> None:
    """By hand: the last losses are 1.8 and 1.9, the mean of which is 1.85."""
    path = tmp_path / "history.csv"
    path.write_text("seed,step,loss\n0,100,3\n0,300,1.8\n1,100,3\n1,200,1.9\n")

    assert json.loads(verify(folder, path, "--json").stdout)["loss"] == pytest.approx(1.85)

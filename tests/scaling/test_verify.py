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

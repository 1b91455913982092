"""A registered prediction outlives the next `scale`: its date where it is the same, its file where another is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from hptransfer.transfer.prediction import register
from tests.support.checked_folder import Folder
from tests.support.transfer_files import ladder_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A checked recipe whose target is written, in a world where a minute passes with every registration."""
    minutes = iter(range(60))
    monkeypatch.setattr(
        "hptransfer.scaling.verify.register",
        lambda content, *, written: register(content, written=f"2026-01-02T03:{next(minutes):02d}:00+00:00"),
    )
    folder = Folder(tmp_path)
    folder.write_transfer(ladder_of((16, 32, 64, 128)))
    assert folder.scale(width=512, depth=2, batch_size=4) == 0
    return folder


def kept(folder: Folder) -> list[Path]:
    """Files that lie beside the target."""
    return sorted(folder.target.parent.glob("target-*.yaml"))


def verify(path: object, *arguments: str) -> Result:
    """Run `verify`."""
    return CliRunner().invoke(app, ["verify", str(path), *arguments])


def test_the_same_prediction_keeps_date_and_hash(folder: Folder) -> None:
    """Writing the file again registers nothing new, and moves nothing aside."""
    before = folder.document()["prediction"]
    folder.scale(width=512, depth=2, batch_size=4)

    assert folder.document()["prediction"] == before
    assert before["written"].startswith("2026-01-02T03:00")
    assert kept(folder) == []


def test_another_prediction_leaves_the_earlier_file_beside_it(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name has the date of its registration, stderr says where it is, and it verifies as before."""
    text = folder.target.read_text()
    capsys.readouterr()
    folder.scale(width=256, depth=2, batch_size=4, as_json=True)
    printed = capsys.readouterr()
    (earlier,) = kept(folder)

    assert earlier.name == "target-20260102T030000.yaml"
    assert earlier.read_text() == text
    assert str(earlier) in printed.err
    assert "hptransfer verify" in printed.err
    assert folder.document()["size"]["width"] == 256  # --json writes the file too
    assert verify(earlier, "1.8536").exit_code == 0  # 1.5 + 8 / sqrt(512)


def test_going_back_finds_the_first_registration(folder: Folder) -> None:
    """512, 256, 512, 256: each is registered once, and each file is kept once."""
    first = folder.document()["prediction"]
    folder.scale(width=256, depth=2, batch_size=4)
    second = folder.document()["prediction"]
    folder.scale(width=512, depth=2, batch_size=4)
    assert folder.document()["prediction"] == first
    folder.scale(width=256, depth=2, batch_size=4)

    assert folder.document()["prediction"] == second
    assert [path.name for path in kept(folder)] == ["target-20260102T030000.yaml", "target-20260102T030100.yaml"]


def test_an_edited_prediction_lends_its_date_to_none(folder: Folder) -> None:
    """What was edited is kept as another one, and the new registration has a date of its own."""
    document = folder.document()
    document["prediction"]["loss"]["high"] = 99.0
    folder.target.write_text(yaml.safe_dump(document))
    folder.scale(width=512, depth=2, batch_size=4)

    assert folder.document()["prediction"]["written"].startswith("2026-01-02T03:01")
    assert len(kept(folder)) == 1


def test_a_file_that_cannot_be_read_is_kept(folder: Folder) -> None:
    """Nothing is known of it, so nothing of it is thrown away."""
    folder.target.write_text("format: 1\nwhat: else\n")
    folder.scale(width=512, depth=2, batch_size=4)

    (earlier,) = kept(folder)
    assert earlier.read_text() == "format: 1\nwhat: else\n"


def test_a_target_that_predicts_no_loss_names_the_one_that_did(folder: Folder) -> None:
    """After a target with other tokens `verify RECIPE` has no interval, and says which file still has one."""
    folder.scale(width=512, depth=2, batch_size=4, tokens=32000)
    result = verify(folder.recipe, "1.8536", "--runs", str(folder.runs))

    assert result.exit_code == 3
    assert f"hptransfer verify {kept(folder)[0]}" in result.stderr.replace("\n", " ")


def test_a_target_of_any_name_can_be_verified(folder: Folder, tmp_path: Path) -> None:
    """`scale --output` may call it anything."""
    folder.scale(width=512, depth=2, batch_size=4, output=tmp_path / "large.yaml")

    assert verify(tmp_path / "large.yaml", "1.8536").exit_code == 0

"""tuned.yaml: what is written is read again, and what `tune` did not write is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hptransfer.artifacts.tuned import read_tuned
from hptransfer.errors import Place, UsageError
from hptransfer.hyperparameters import MULTIPLIERS
from tests.support.tuned_results import tuned_result


def document(path: Path) -> dict[str, Any]:
    """The file as plain data."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def refused(path: Path) -> UsageError:
    """How reading the file ends."""
    with pytest.raises(UsageError) as refusal:
        read_tuned(path, "tiny.yaml")
    return refusal.value


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Open ends, unknown losses and unusual names included; multipliers of 1 are left out and filled in again."""
    path = tmp_path / "tuned.yaml"
    values = {"learning_rate": 0.03125, "hidden_init": 0.5, "readout_init": 1.0}
    result = tuned_result(recipe="2026-11-28", hyperparameters=values, intervals={"learning_rate": (None, 0.05)})
    result.write(path)

    assert read_tuned(path, "tiny.yaml") == result
    assert document(path)["hyperparameters"] == {"learning_rate": 0.03125, "hidden_init": 0.5}
    assert set(result.hyperparameters) == {"learning_rate", *MULTIPLIERS}
    assert path.read_text(encoding="utf-8").startswith("# Written by `hptransfer tune`")


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    """The hint is the command with the user's own name of the recipe, for the folder that was read."""
    (finding,) = refused(tmp_path / "runs" / "tiny" / "tuned.yaml").findings

    assert finding.rule == "hyperparameters must be tuned first"
    assert finding.hint == f"run `hptransfer tune tiny.yaml --runs {tmp_path}/runs`"


def test_a_file_of_another_format_says_what_to_do(tmp_path: Path) -> None:
    """0.1 wrote no number."""
    path = tmp_path / "tuned.yaml"
    tuned_result().write(path)
    content = document(path)
    del content["format"]
    path.write_text(yaml.safe_dump(content))
    (finding,) = refused(path).findings

    assert finding.rule == "tuned.yaml must have format 2"
    assert finding.received == f"{path}: no format number"
    assert finding.hint == "run `hptransfer tune` again: finished trials are reused"


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"hyperparameters": {}}, "hyperparameters: "),
        ({"hyperparameters": {"learning_rate": "fast"}}, "hyperparameters.learning_rate: "),
        ({"hyperparameters": {"learning_rate": float("nan")}}, "hyperparameters.learning_rate: "),
        ({"hyperparameters": {"learning_rate": True}}, "hyperparameters.learning_rate: "),
        ({"hyperparameters": {"speed": 1.0}}, "hyperparameters: `speed` is not a known hyperparameter"),
        ({"expected_loss": float("inf")}, "expected_loss: "),
        ({"size": {"width": 16, "depth": 2}}, "size.batch_size: "),
        ({"nonsense": 1}, "nonsense: "),
    ],
)
def test_wrong_content_is_refused_by_its_field(tmp_path: Path, changes: dict[str, Any], received: str) -> None:
    """The message names the file, the field and what is wrong with it."""
    path = tmp_path / "tuned.yaml"
    tuned_result().write(path)
    path.write_text(yaml.safe_dump(document(path) | changes))
    (finding,) = refused(path).findings

    assert finding.rule == "tuned.yaml must be what `hptransfer tune` wrote"
    assert (finding.received or "").startswith(f"{path}: {received}")


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a: é\nb: é\x07c\n", 2, 5, "unacceptable character #x0007"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "the key `a` is in line 1 already"),
        ("a: 1\nb: *c\n", 2, 4, "an alias"),
        ("a: 1\nb: [1}\n", 2, 6, "did not find expected ',' or ']'"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n", 2, 1, "a merge's conflict is not resolved"),
    ],
)
def test_what_is_no_yaml_has_its_place(tmp_path: Path, text: str, line: int, column: int, said: str) -> None:
    """Line and column count from 1, the column in characters."""
    path = tmp_path / "tuned.yaml"
    path.write_text(text)
    (finding,) = refused(path).findings

    assert finding.place == Place(str(path), line, column)
    assert (finding.received or "").startswith(f"{path}: line {line}, column {column}: {said}")


def test_aliases_are_refused(tmp_path: Path) -> None:
    """A few lines of them are more data than fits in memory; `tune` writes none."""
    path = tmp_path / "tuned.yaml"
    bomb = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    path.write_text("\n".join(bomb))
    (finding,) = refused(path).findings

    assert finding.rule == "tuned.yaml must be what `hptransfer tune` wrote"
    assert "line 2, column 10: an alias" in str(finding.received)

"""One forward and backward pass before any trial: what cannot train is named with its place, and nothing is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.engine.open_session import open_session
from hptransfer.engine.rehearsal import needs_rehearsal
from hptransfer.errors import UsageError
from hptransfer.linting.validate import validate
from hptransfer.recipe.load import load_recipe
from hptransfer.tuning.tune import tune
from tests.support import zoo
from tests.support.recipe_texts import MLP
from tests.support.validated import TRUSTED

RECIPE = """\
name: own
model:
  kind: factory
  factory: {factory}
  context: 8
  residual_writers: []
data: {{kind: stdlib-text}}
training:
  steps: 3
  batch_size: 4
  loss: {loss}
  loss_arguments: {{{arguments}}}
  learning_rate: 0.001
  evaluation_batches: 1
parameterization: {{name: mup}}
sizes:
  base: {{width: 64, depth: 2}}
  widths: [64, 128, 256, 512]
  target: {{width: 1024, depth: 2}}
tune:
  space:
    learning_rate: {{low: 1.0e-3, high: 1.0e-1}}
  trials: 3
  confirm_seeds: 1
"""
ZOO = Path(zoo.__file__)
MODEL, LOSS = 2, 11  # lines
OWN_LOSS = "a loss is `f(model, batch) -> a positive scalar`"


def written(folder: Path, model: str, loss: str = "next-token", arguments: str = "") -> Path:
    """A recipe with this model of `tests.support.untrainable`, or this reference."""
    factory = model if ":" in model else f"tests.support.untrainable:{model}"
    (folder / "own.yaml").write_text(RECIPE.format(factory=factory, loss=loss, arguments=arguments))
    return folder / "own.yaml"


@pytest.mark.parametrize(
    ("model", "line", "rule", "received", "hint"),
    [
        ("pair", LOSS, "several outputs", "untrainable.py:{_Pair}", "loss_arguments: {output: 0}"),
        ("states", LOSS, "several outputs", "untrainable.py:{_States}", "{output: states}}` (or scores)"),
        ("shapes", MODEL, "run on the recipe's own data", "untrainable.py:{torch.zeros(1, 3} in forward: RuntimeE", ""),
        (
            "table",
            MODEL,
            "run on the recipe's own data",
            "in `first` (Linear), the model was given int64 (4, 8)",
            "python",
        ),
        ("detached", MODEL, "must have a gradient", "untrainable.py:{_Detached}", "detach"),
        ("infinite", MODEL, "must be a finite number", "nan, first in `layers.0` (Linear)", ""),
        ("classes", MODEL, "a logit for every token or class", "out of bounds", "vocabulary"),
        ("rows", MODEL, "an embedding for every token", "`table` (Embedding) has 20 rows", "vocabulary"),
        ("in_place", MODEL, "must have a gradient", "inplace operation", ""),
        ("Bytes negative", LOSS, "must be positive", "; from ", "constant"),
        ("Bytes of_logits", LOSS, "take what model and data give", "failed before it called the model", OWN_LOSS),
        ("Bytes failing", LOSS, "take what model and data give", 'untrainable.py:{batch["labels"]} in failing', ""),
    ],
)
def test_what_cannot_train(tmp_path: Path, model: str, line: int, rule: str, received: str, hint: str) -> None:
    """`validate --trust` names the key of the recipe, the user's file and line, and the repair."""
    model, _, loss = model.partition(" ")
    path = written(tmp_path, model, f"tests.support.untrainable:{loss}" if loss else "next-token")

    assert validate(str(path)).errors == ()
    (found,) = validate(str(path), TRUSTED).errors

    assert rule in found.rule
    assert found.place is not None
    assert (found.place.file, found.place.line) == (str(path), line)
    assert _with_line(received) in str(found.received)
    assert "hptransfer/" not in str(found.received)
    assert "site-packages" not in str(found.received)
    assert hint in str(found.hint)


def _with_line(text: str) -> str:
    """`{_Pair}` becomes the line where the `forward` of that class begins, `{other text}` that of the text."""
    before, brace, rest = text.partition("py:{")
    if not brace:
        return text
    wanted, _, after = rest.partition("}")
    lines = Path("tests/support/untrainable.py").read_text().splitlines()
    number = next(place for place, line in enumerate(lines, 1) if wanted in line)
    if wanted.startswith("_"):
        number = next(place for place, line in enumerate(lines, 1) if place > number and "def forward" in line)
        after = " in forward"
    return f"{before}py:{number}{after}"


def test_what_trains(tmp_path: Path) -> None:
    """A model that trains has no finding; nor has a tuple whose output the loss is told."""
    assert validate(str(written(tmp_path, "Bytes")), TRUSTED).errors == ()
    assert validate(str(written(tmp_path, "pair", arguments="output: 0")), TRUSTED).errors == ()
    assert validate(str(written(tmp_path, "states", arguments="output: scores")), TRUSTED).errors == ()


def test_the_tuple_of_the_zoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused at the user's own file; with the line of the hint it is valid."""
    shutil.copy(ZOO, tmp_path / "zoo_of_tuples.py")
    monkeypatch.chdir(tmp_path)

    assert validate_command([str(written(tmp_path, "zoo_of_tuples:tuple_output"))], trust=True) == 1
    said = capsys.readouterr().out
    assert "from zoo_of_tuples.py:" in said
    assert "in forward" in said
    assert "loss_arguments: {output: 0}" in said
    assert (
        validate_command([str(written(tmp_path, "zoo_of_tuples:tuple_output", arguments="output: 0"))], trust=True) == 0
    )


def test_no_trial_is_started(tmp_path: Path) -> None:
    """`tune` stops before the first trial, with the place in the recipe."""
    path = written(tmp_path, "pair")
    with open_session(path, tmp_path / "runs", 1) as session:
        with pytest.raises(UsageError, match="returns several outputs") as caught:
            tune(session)
        assert session.store.trials() == []
    (found,) = caught.value.findings

    assert found.place is not None
    assert found.place.line == LOSS
    assert not list((tmp_path / "runs" / "own").glob("failures/*"))


def test_it_is_rehearsed_once(tmp_path: Path) -> None:
    """A run that has a finished trial is not rehearsed again: its workers are not asked."""
    path = written(tmp_path, "Bytes")
    with open_session(path, tmp_path / "runs", 1) as session:
        tuned = tune(session)
    with open_session(path, tmp_path / "runs", 1) as session:
        session.rehearse()
        assert session.pool.next_result(timeout=0.1) is None
        assert json.loads(tune(session).to_json())["recommended"] == json.loads(tuned.to_json())["recommended"]


def test_shipped_parts_need_none(tmp_path: Path) -> None:
    """A recipe of built-in parts alone, and one whose program builds its own model."""
    (tmp_path / "small.yaml").write_text(MLP)

    assert not needs_rehearsal(load_recipe(tmp_path / "small.yaml").recipe)
    assert needs_rehearsal(load_recipe(written(tmp_path, "Bytes")).recipe)

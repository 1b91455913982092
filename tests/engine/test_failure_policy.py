"""Failed trials: on file, left out until they are requeued, and told with their place in the user's code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hptransfer.engine.open_session import open_session
from hptransfer.engine.scheduler import TrialEvent
from hptransfer.engine.session import Session
from hptransfer.errors import UsageError
from hptransfer.report.findings import as_text
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase
from tests.support.landscape import recipe_text
from tests.support.sessions import grid, recipe_session, tune_and_write

MODEL = """\
import torch


def build(width, depth):
    return Model(width)


class Model(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embedding = torch.nn.Embedding(256, width)
        self.hidden = torch.nn.Linear(width, width)
        self.readout = torch.nn.Linear(width, 256)

    def forward(self, tokens):
        hidden = self.hidden(self.embedding(tokens))
        return self.readout(hidden.reshape(7, -1) if len(tokens) > 8 else hidden)
"""
RECIPE = """\
name: own
model: {kind: factory, factory: "wrong_model:build", context: 8}
data: {kind: text, files: ["*.txt"]}
training: {steps: 5, batch_size: 9}
parameterization: {name: mup}
sizes:
  base: {width: 16, depth: 1}
  widths: [16, 32, 64, 128]
  target: {width: 256, depth: 1}
tune:
  space: {learning_rate: {low: 1e-4, high: 1e-1}}
"""


def test_equal_errors_stop_with_the_place_in_the_users_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in a model's forward: its file and line first, its last calls, and where the whole traceback is."""
    (tmp_path / "wrong_model.py").write_text(MODEL)
    (tmp_path / "text.txt").write_text("some text to train on\n" * 100)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with open_session("recipe.yaml", tmp_path / "runs", 1) as session, pytest.raises(UsageError) as stop:
        tune_and_write(session)
    sys.modules.pop("wrong_model", None)

    text = as_text(stop.value.findings[0])
    assert text.startswith(
        "error: wrong_model.py:17: trials must be able to run, but 3 in a row failed alike (error)\n"
    )
    assert "received: RuntimeError: shape '[7, -1]' is invalid for input of size" in text
    line = "return self.readout(hidden.reshape(7, -1) if len(tokens) > 8 else hidden)"
    assert f"\n  | wrong_model.py:17 in forward: {line}\n" in text
    assert "hptransfer retry own" in text
    saved = sorted((tmp_path / "runs" / "own" / "failures").iterdir())
    assert len(saved) == 3
    assert str(saved[0].parent) in text
    assert "training/loop.py" in saved[0].read_text()  # the whole traceback, the library's calls included


def test_what_hptransfer_refuses_has_no_place_in_hptransfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that returns text: it is named by its reference; no line of the library is blamed."""
    (tmp_path / "wrong_result.py").write_text("def train(trial):\n    return 'low'\n")
    (tmp_path / "recipe.yaml").write_text(f'{OWN_LOOP}trainer: {{function: "wrong_result:train"}}\n')
    text = stopped(tmp_path, monkeypatch)

    assert text.startswith("error: trials must be able to run, but 3 in a row failed alike (error)\n")
    assert "wrong_result:train returned str" in text
    assert ".py:" not in text


def test_what_hptransfer_refuses_in_the_users_call_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that reported it."""
    (tmp_path / "wrong_step.py").write_text("def train(trial):\n    trial.report('3', 1.0)\n")
    (tmp_path / "recipe.yaml").write_text(f'{OWN_LOOP}trainer: {{function: "wrong_step:train"}}\n')

    assert stopped(tmp_path, monkeypatch).startswith("error: wrong_step.py:2: trials must be able to run")


#: of a function that brings model and data
OWN_LOOP = """\
name: own
training: {steps: 5, batch_size: 9}
parameterization: {name: measured}
sizes:
  base: {width: 16, depth: 1}
  widths: [16, 32, 64, 128]
  target: {width: 256, depth: 1}
tune:
  space: {learning_rate: {low: 1e-4, high: 1e-1}}
"""


def stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed when the folder's recipe is tuned."""
    monkeypatch.chdir(folder)
    with open_session("recipe.yaml", folder / "runs", 1) as session, pytest.raises(UsageError) as stop:
        tune_and_write(session)
    return as_text(stop.value.findings[0])


def at_the_proxy(session: Session) -> list[TrialSpec]:
    """Four learning rates, 2^-7 to 2^-5.5, with one seed."""
    return [request for request in grid(session) if request.size.width == 64 and request.seed == 0]


def test_a_failed_trial_is_left_out_until_it_is_requeued(tmp_path: Path) -> None:
    """What would repeat itself is not paid for again by the next run; after `requeue` it is tried once more."""
    events: list[TrialEvent] = []
    text = recipe_text({"error": [-7.0], "memory": [-6.0], "log": str(tmp_path / "log")})
    for _ in range(2):
        with recipe_session(tmp_path / "runs", text, workers=1) as session:
            trials = session.run(at_the_proxy(session), Phase.CHECK, events.append)

    assert len(trials) == 2
    assert [event.kind for event in events if event.kind != "started"] == [
        *("failed", "finished", "failed", "finished"),
        *("left out", "reused", "left out", "reused"),
    ]
    assert "it failed before (out of memory)" in [event.message for event in events if event.kind == "left out"][1]

    healed = recipe_text({"log": str(tmp_path / "log")})
    with recipe_session(tmp_path / "runs", healed, workers=1) as session:
        assert [failed.cause for failed in session.store.requeue(["out of memory"])] == ["out of memory"]
        assert session.store.requeue(["out of memory"]) == []
    with recipe_session(tmp_path / "runs", healed, workers=1) as session:
        assert len(session.run(at_the_proxy(session), Phase.CHECK, events.append)) == 3
    assert events[-1].hyperparameters["learning_rate"] == 2.0**-6


def test_a_requeued_trial_that_fails_again_stands_again(tmp_path: Path) -> None:
    """Requeuing forgives failures of the past, not of the future."""
    text = recipe_text({"error": [-7.0], "log": str(tmp_path / "log")})
    with recipe_session(tmp_path / "runs", text, workers=1) as session:
        (request, *_) = grid(session)
        key = session.key(request)
        for _ in range(2):
            assert session.run([request], Phase.CHECK, lambda event: None) == []
            assert session.store.blocking_failure(key) is not None
            session.store.requeue(["error"])
            assert session.store.blocking_failure(key) is None


def test_every_failure_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Cause, trial and message, beside the traceback; attempts are numbered."""
    text = recipe_text({"error": [-7.0]})
    with recipe_session(tmp_path / "runs", text, workers=1) as session:
        (request, *_) = grid(session)
        for _ in range(2):
            session.run([request], Phase.CHECK, lambda event: None)
            session.store.requeue(["error"])
        first, second = sorted(session.folder.failures.iterdir())

    key = session.key(request)
    assert (first.name, second.name) == (f"w64-d2-{key[:8]}-1.txt", f"w64-d2-{key[:8]}-2.txt")
    content = first.read_text()
    assert content.startswith("cause: error\nmessage: ValueError: no luck at 0x")
    assert f"trial: w64-d2, seed 0, key {key}" in content
    assert "Traceback (most recent call last):" in content

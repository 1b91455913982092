"""Programs as trainers: what they are told, and what becomes of each way in which they can end."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hptransfer.execution.outcome import TaskError
from hptransfer.testing.trainers import TrainerConformance
from hptransfer.trainers.base import TRAINERS, Trainer, trainer_identity
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.trial import TrialState
from tests.support.commands import asked, command_recipe, logs, processes_of, python, shell, trained


class TestShell(TrainerConformance):
    """A script that prints three losses."""

    def trainer(self) -> Trainer:
        """By its name."""
        return TRAINERS.look_up("command")

    def message(self, folder: Path) -> TrialMessage:
        """Without model and data."""
        script = "for step in 1 2 3; do echo step $step loss $((9 - step)).$3; done"
        return asked(command_recipe(shell(script)), folder)


def failure(root: Path, script: str, **more: Any) -> TaskError:
    """How a run of a script of sh fails."""
    with pytest.raises(TaskError) as caught:
        trained(command_recipe(shell(script, **more)), root)
    return caught.value


# What a program is told.


def test_words_are_filled_in(tmp_path: Path) -> None:
    """Numbers as they read back exactly, no shell in between."""
    script = "import sys; print(sys.argv[1:]); print('loss', float(sys.argv[2]))"
    trial = trained(command_recipe(python(script)), tmp_path, learning_rate=0.1 + 0.2)

    assert trial.loss == 0.1 + 0.2
    assert (logs(tmp_path) / "stdout.txt").read_text().splitlines()[0] == "['16', '0.30000000000000004', '1']"


def test_the_environment_tells_the_same(tmp_path: Path) -> None:
    """Size, base, multiples, hyperparameters, seed and paths; `hptransfer.watch` finds its own three."""
    script = "import json, os; print(json.dumps(dict(os.environ))); print('loss 1')"
    recipe = command_recipe(python(script, environment={"MODE": "small", "EMA": 0.5, "FAST": True}))
    trained(recipe, tmp_path, width=64)
    told = json.loads((logs(tmp_path) / "stdout.txt").read_text().splitlines()[0])

    assert {name: told[f"HPTRANSFER_{name}"] for name in ("WIDTH", "BASE_WIDTH", "WIDTH_MULT", "DEPTH_MULT")} == {
        "WIDTH": "64",
        "BASE_WIDTH": "16",
        "WIDTH_MULT": "4.0",
        "DEPTH_MULT": "1.0",
    }
    assert (told["HPTRANSFER_STEPS"], told["HPTRANSFER_TOKENS"], told["HPTRANSFER_SEED"]) == ("5", "40", "1")
    assert told["HPTRANSFER_LEARNING_RATE"] == "0.0078125"
    assert json.loads(told["HPTRANSFER_SIZE"]) == {"width": 64, "depth": 2, "batch_size": 8, "tokens": 40}
    assert Path(told["HPTRANSFER_WATCH"]).parent == logs(tmp_path)
    assert (told["MODE"], told["EMA"], told["FAST"]) == ("small", "0.5", "true")


def test_what_is_no_programs_business_is_withheld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's address may hold a password; the search path of a worker's modules is its own."""
    monkeypatch.setenv("HPTRANSFER_STORAGE", "postgresql://user:secret@host/db")
    monkeypatch.setenv("PYTHONPATH", "/of/the/worker")
    monkeypatch.setenv("HPTRANSFER_PYTHONPATH_BEFORE", "/of/the/user")
    trained(command_recipe(shell('echo "${HPTRANSFER_STORAGE-none} $PYTHONPATH"; echo loss 1')), tmp_path)

    assert (logs(tmp_path) / "stdout.txt").read_text().splitlines()[0] == "none /of/the/user"


def test_it_runs_in_the_recipes_folder_or_where_it_is_told(tmp_path: Path) -> None:
    """A relative name is below the recipe's folder; `{trial_dir}` is the run's own."""
    for cwd in (".", "{trial_dir}"):
        trained(command_recipe(shell("pwd; echo loss 1", cwd=cwd)), tmp_path)
    first, second = sorted((tmp_path / "runs" / "logs").iterdir())

    assert (first / "stdout.txt").read_text().splitlines()[0] == str(tmp_path)
    assert (second / "stdout.txt").read_text().splitlines()[0] == str(second)


def test_a_shell_gets_a_text_only_where_it_is_asked_for(tmp_path: Path) -> None:
    """Pipes work there, and values are quoted."""
    section = {
        "command": "echo loss {width} | sed s/16/2.5/; test -d {trial_dir} {{literal}} 2>/dev/null; echo {seed}",
        "shell": True,
        "results": {"stdout": r"loss (\S+)"},
        "accepts": ["learning_rate"],
    }

    assert trained(command_recipe(section), tmp_path).loss == 2.5


def test_a_configuration_is_written_for_each_run(tmp_path: Path) -> None:
    """From the user's own file; a number stays one."""
    (tmp_path / "base.json").write_text('{"optim": {"lr": 1.0, "name": "adam"}, "width": 1}')
    script = (
        "import json, sys; c = json.load(open(sys.argv[1])); print('loss', c['optim']['lr'] * c['width']); print(c)"
    )
    section = {
        "command": [sys.executable, "-c", script, "{config}"],
        "results": {"stdout": r"loss (\S+)"},
        "config": {"template": "base.json", "set": {"optim.lr": "{learning_rate}", "width": "{width}"}},
        "accepts": ["seed"],
    }
    trial = trained(command_recipe(section), tmp_path, learning_rate=0.25)

    assert trial.loss == 4.0
    assert json.loads((logs(tmp_path) / "config.json").read_text()) == {
        "optim": {"lr": 0.25, "name": "adam"},
        "width": 16,
    }


# What becomes of what it reports.


def test_losses_are_heard_while_it_runs(tmp_path: Path) -> None:
    """Whoever listens may end the run; nothing of it goes on."""
    heard: list[tuple[int, float]] = []

    def listen(step: int, loss: float) -> bool:
        heard.append((step, loss))
        return step == 2

    script = "echo step 1 loss 3; echo step 2 loss 2; sleep 60; echo step 3 loss 1"
    begun = time.monotonic()
    trial = trained(command_recipe(shell(script)), tmp_path, listen)

    assert heard == [(1, 3.0), (2, 2.0)]
    assert trial.state is TrialState.STOPPED
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("final", "loss"), [("last", 4.0), ("best", 1.0), ("mean-of-last-2", 2.5), ("mean-of-last-3", 3.0)]
)
def test_the_final_value_is_made_as_the_recipe_says(final: str, loss: float, tmp_path: Path) -> None:
    """Of 4, 1, 4 in this order."""
    section = shell("echo loss 4; echo loss 1; echo loss 4", results={"stdout": r"loss (\S+)", "final": final})

    assert trained(command_recipe(section), tmp_path).loss == loss


def test_what_is_maximized_is_kept_with_its_sign_changed(tmp_path: Path) -> None:
    """A training loss beside it keeps its own."""
    results = {"stdout": r"accuracy (\S+)", "curve": r"loss (\S+)", "final": "best"}
    section = shell("echo loss 3; echo accuracy 0.5; echo accuracy 0.75; echo accuracy 0.25", results=results)
    trial = trained(command_recipe(section, objective={"name": "accuracy", "direction": "maximize"}), tmp_path)

    assert (trial.loss, trial.curve) == (-0.75, ((1, 3.0),))


def test_reported_operations_are_in_the_record(tmp_path: Path) -> None:
    """The last ones that were said."""
    results = {"stdout": r"loss (?P<value>\S+)(?: flops (?P<flops>\S+))?"}
    trial = trained(command_recipe(shell("echo loss 3 flops 1e9; echo loss 2 flops 2e9", results=results)), tmp_path)

    assert trial.flops == 2e9


# How it can end, each as docs/trainers.md says.


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN"])
def test_a_value_that_is_not_finite_ends_the_run_at_once(value: str, tmp_path: Path) -> None:
    """It diverged, and is no failure."""
    begun = time.monotonic()
    trial = trained(command_recipe(shell(f"echo step 1 loss 3; echo step 2 loss {value}; sleep 60")), tmp_path)

    assert (trial.state, trial.loss, trial.curve) == (TrialState.DIVERGED, math.inf, ((1, 3.0),))
    assert time.monotonic() - begun < 30


def test_an_exit_status_is_an_error_with_the_last_words(tmp_path: Path) -> None:
    """The message has the last line, the details the last lines and where all of them are."""
    error = failure(tmp_path, "echo first >&2; echo 'no such file: x' >&2; exit 3")

    assert (str(error), error.cause) == ("the command ended with status 3: no such file: x", "error")
    assert error.details.splitlines() == ["first", "no such file: x", f"logs: {logs(tmp_path)}"]


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("kill -9 $$", "killed"),
        ("kill -15 $$", "killed"),
        ("exit 137", "killed"),
        ("kill -11 $$", "error"),
        ("echo 'RuntimeError: CUDA out of memory' >&2; exit 1", "out of memory"),
    ],
)
def test_how_it_ended_decides_whether_to_try_again(script: str, cause: str, tmp_path: Path) -> None:
    """Whoever was killed from outside is run once more by the engine; the others would repeat themselves."""
    assert failure(tmp_path, script).cause == cause


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo done", "the command ended without a value of `loss` (looked for in stdout.txt)"),
        ("echo loss abc", "a result must be a number; received: line 1 of stdout, `value`: 'abc'"),
        ("echo step 2 loss 1; echo step 1 loss 1", "steps of results must not go back; received: step 1 after step 2"),
    ],
)
def test_what_is_no_result_is_named(script: str, message: str, tmp_path: Path) -> None:
    """A missing metric, garbage, steps that go back."""
    error = failure(tmp_path, script)

    assert (str(error), error.cause) == (message, "error")


def test_a_silent_run_is_killed_where_the_recipe_says(tmp_path: Path) -> None:
    """It hangs: a timeout."""
    error = failure(tmp_path, "echo step 1 loss 2; sleep 60", no_output_for="1s")

    assert error.cause == "timeout"
    assert "nothing for 1 s" in str(error)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what can be written instead."""
    section = {
        "command": ["no-such-program", "{width}", "{learning_rate}", "{seed}"],
        "results": {"stdout": "loss (.)"},
    }
    with pytest.raises(TaskError, match="no-such-program: No such file or directory") as caught:
        trained(command_recipe(section), tmp_path)

    assert "{python}" in caught.value.details


def test_exit_statuses_are_retried_where_the_recipe_says(tmp_path: Path) -> None:
    """Each attempt has a folder of its own; another status is not retried."""
    script = f"test -e {tmp_path}/second || {{ touch {tmp_path}/second; exit 75; }}; echo loss 1"
    trial = trained(command_recipe(shell(script, retry={"exit_codes": [75]})), tmp_path)

    assert trial.loss == 1.0
    assert len(list((tmp_path / "runs" / "logs").iterdir())) == 2
    assert str(failure(tmp_path, "exit 76", retry={"exit_codes": [75]})).startswith("the command ended with status 76")


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found on Linux")
@pytest.mark.parametrize(
    "leaving",
    [
        "sleep 100 &",
        "setsid sleep 100 &",
        "(setsid sh -c 'sleep 100 & wait' &);",
        "setsid nohup sh -c 'trap \"\" TERM HUP; sleep 100 & wait' >/dev/null 2>&1 &",
    ],
)
def test_nothing_outlives_a_run(leaving: str, tmp_path: Path) -> None:
    """Children in the background, in sessions of their own, orphaned, deaf to signals."""
    script = f"{leaving} sleep 0.2; echo loss 1"
    begun = time.monotonic()
    trial = trained(command_recipe(shell(script)), tmp_path)

    assert trial.loss == 1.0
    assert int(trial.provenance["killed afterwards"]) >= 1
    assert time.monotonic() - begun < 30
    assert processes_of(tmp_path) == []


# What is kept, and what makes a run another one.


def test_logs_are_kept_and_bounded(tmp_path: Path) -> None:
    """The beginning and the end of whatever it prints, and the line that was run."""
    script = "print('first'); [print(i, 'y' * 90) for i in range(60000)]; print('loss 1')"
    trained(command_recipe(python(script)), tmp_path)
    folder = logs(tmp_path)
    kept = sorted(folder.glob("stdout*.txt"))

    assert (folder / "stdout.txt").read_text().startswith("first\n")
    assert (folder / "stdout-end.txt").read_text().endswith("loss 1\n")
    assert sum(path.stat().st_size for path in kept) <= 3 * 2**20
    assert json.loads((folder / "command.json").read_text())["command"][0] == sys.executable


def test_without_a_run_folder_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A successful run's folder is removed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trained(command_recipe(shell("echo loss 1")), tmp_path, folder=None)

    assert not [path for path in tmp_path.iterdir() if path.name.startswith("hptransfer-w16")]


def test_files_of_a_command_are_part_of_its_identity(tmp_path: Path) -> None:
    """Its script, what that imports, what is declared, the template; a comment in Python changes nothing."""
    (tmp_path / "train.py").write_text("import helper_of_train\n")
    (tmp_path / "helper_of_train.py").write_text("RATE = 1\n")
    (tmp_path / "data.csv").write_text("1,2\n")
    (tmp_path / "base.toml").write_text("lr = 1.0\n")
    section = {
        "command": ["python", "train.py", "--width", "{width}", "--seed", "{seed}", "{config}"],
        "results": {"stdout": "loss (.*)"},
        "files": ["*.csv"],
        "config": {"template": "base.toml", "set": {"lr": "{learning_rate}"}},
    }
    recipe = command_recipe(section)

    def digests() -> dict[str, str]:
        return dict(trainer_identity(recipe, tmp_path).code)

    first = digests()
    (tmp_path / "helper_of_train.py").write_text("RATE = 1  # a comment\n")

    assert set(first) == {"train.py", "helper_of_train", "data.csv", "base.toml"}
    assert digests() == first
    (tmp_path / "helper_of_train.py").write_text("RATE = 2\n")
    (tmp_path / "data.csv").write_text("1,3\n")

    assert {name for name, digest in digests().items() if digest != first[name]} == {"helper_of_train", "data.csv"}


def test_where_and_how_often_it_runs_is_no_part_of_its_identity(tmp_path: Path) -> None:
    """Resources, retries and patience may change; command, environment and results may not."""
    trainer = TRAINERS.look_up("command")

    def identity(**more: Any) -> object:
        return trainer.identity(command_recipe(shell("echo loss 1", **more)))

    assert identity() == identity(resources=[{"gpus": 2}], retry={"exit_codes": [1]}, no_output_for="5m")
    assert identity() != identity(environment={"MODE": "b"})
    assert identity() != identity(results={"stdout": "loss (.*)"})


def test_the_worker_does_not_pass_on_that_it_ignores_ctrl_c(tmp_path: Path) -> None:
    """A worker ignores SIGINT; its programs do not."""
    import signal

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        script = "import signal; print('loss', float(signal.getsignal(signal.SIGINT) is signal.default_int_handler))"
        assert trained(command_recipe(python(script)), tmp_path).loss == 1.0
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Workers run thousands of commands."""
    recipe = command_recipe(shell("echo loss 1"))
    trained(recipe, tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        trained(recipe, tmp_path)

    assert len(os.listdir("/proc/self/fd")) == before


# Results that are written anew, are none, or steer a terminal.


def test_the_final_value_is_that_of_what_is_there(tmp_path: Path) -> None:
    """A program that writes its results anew each time is judged by what it wrote last, curve and all."""
    script = """import json, sys, time
for loss in (2.5, 2.0, 3.0):
    with open(sys.argv[4], "w") as file:
        file.write(json.dumps(dict(loss=loss, step=4)) + chr(10))
    time.sleep(0.3)
"""
    section = python(script, results={"jsonl": "l.jsonl", "step": "step", "final": "best"})
    section["command"] = [*section["command"], "{results}"]
    trial = trained(command_recipe(section), tmp_path)

    assert (trial.loss, trial.curve) == (3.0, ((4, 3.0),))


def test_a_pipe_as_results_fails_at_once_and_alike(tmp_path: Path) -> None:
    """Two runs say the same, though their folders differ."""
    section = shell('mkfifo "$4"; sleep 20', results={"jsonl": "l.jsonl"})
    section["command"] = [*section["command"], "{results}"]
    begun, said = time.monotonic(), set()
    for _ in range(2):
        with pytest.raises(TaskError, match=r"l\.jsonl: it is a folder, a pipe or a device") as caught:
            trained(command_recipe(section), tmp_path)
        said.add(str(caught.value))

    assert len(said) == 1
    assert time.monotonic() - begun < 15


def test_last_words_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """No escape sequences in the message."""
    error = failure(tmp_path, "printf '\\033[2J\\033]0;title\\007gone\\n' >&2; exit 3")

    assert str(error) == "the command ended with status 3: [2J]0;titlegone"

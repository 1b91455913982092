"""`hptransfer slurm`: a script that bash and Slurm understand, without a password, that survives a requeue."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hptransfer.commands.slurm import slurm_command
from hptransfer.errors import UsageError
from tests.support.fleet import trials_of
from tests.support.postgres import PASSWORD, with_password
from tests.support.slurm import MISSING, Cluster, root, running_cluster

URL = "postgresql://tuner@db.example:5432/trials"
RECIPE = """\
name: tiny
model: {kind: mlp}
data: {kind: text, files: ["*.txt"]}
training: {steps: 10, batch_size: 8, evaluation_batches: 2}
parameterization: {name: mup}
sizes:
  base: {width: 64, depth: 2}
  widths: [64, 128]
  target: {width: 1024, depth: 2}
tune:
  space:
    learning_rate: {low: 0.0009765625, high: 0.0625}
  trials: 40
  confirm_seeds: 2
"""


def write(folder: Path, **changed: object) -> str:
    """The script for the tiny recipe."""
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE)
    options: dict[str, object] = {
        "recipe": str(recipe), "storage": URL, "runs": folder / "my runs", "workers": 3, "time": "01:00:00",
        "cpus": 2, "lead": "tune", "lease": 60.0, "sbatch": [], "output": None,
    }  # fmt: skip
    slurm_command(**(options | changed))  # type: ignore[arg-type]  # a table of options
    return (folder / "my runs" / "tiny" / "array.sbatch").read_text()


def directives(script: str) -> dict[str, str]:
    """Options of sbatch, read as sbatch does: `#SBATCH` lines before the first command."""
    head = script.split("\n\n", maxsplit=1)[0]
    options = [shlex.split(line.removeprefix("#SBATCH "))[0] for line in head.splitlines() if "#SBATCH" in line[:8]]
    return {name: value for name, _, value in (option.removeprefix("--").partition("=") for option in options)}


def test_directives_ask_for_a_requeueable_array(tmp_path: Path) -> None:
    """Names as in sbatch(1); the notice goes to the batch shell alone (`B:`), before the limit."""
    assert directives(write(tmp_path, sbatch=["partition=long", "exclusive"])) == {
        "job-name": "hptransfer-tiny",
        "array": "0-2",
        "ntasks": "1",
        "cpus-per-task": "2",
        "time": "01:00:00",
        "requeue": "",
        "open-mode": "append",
        "signal": "B:USR1@60",
        "output": f"{tmp_path}/my runs/tiny/slurm-%A_%a.out",
        "partition": "long",
        "exclusive": "",
    }


def test_bash_accepts_the_script(tmp_path: Path) -> None:
    """`bash -n` parses it; paths with spaces are quoted."""
    subprocess.run(["bash", "-n"], input=write(tmp_path), text=True, check=True)


def test_the_script_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when the address in the environment has one."""
    monkeypatch.setenv("HPTRANSFER_STORAGE", with_password(URL))
    script = write(tmp_path, storage=None)

    assert URL in script
    assert PASSWORD not in script
    assert "%40" not in script


@pytest.mark.parametrize(
    "options", [{"time": "soon"}, {"time": "1:00\nrm x"}, {"sbatch": ["array=0-99"]}, {"sbatch": ["x=$(rm y)"]}]
)
def test_what_sbatch_would_misread_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    """Nothing is written then."""
    with pytest.raises(UsageError):
        write(tmp_path, **options)

    assert not (tmp_path / "my runs").exists()


@pytest.mark.parametrize(("sent", "requeues"), [("USR1", 1), ("TERM", 0)])
def test_signals_reach_the_worker_and_only_the_limit_requeues(tmp_path: Path, sent: str, requeues: int) -> None:
    """The script run by bash, with a worker that notes SIGTERM and a `scontrol` that notes its arguments."""
    worker = tmp_path / "worker.sh"
    worker.write_text(f"trap 'echo stopped >> {tmp_path}/notes; exit 143' TERM\ntouch {tmp_path}/up\nsleep 30 & wait\n")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/notes\n')
    scontrol.chmod(0o755)
    script = re.sub(r"^.* -m hptransfer worker .*&$", f"bash '{worker}' &", write(tmp_path), flags=re.MULTILINE)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    process = subprocess.Popen(["bash", "-c", script], env=environment, stdout=subprocess.DEVNULL)
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    process.send_signal(signal.Signals[f"SIG{sent}"])
    process.wait(20)

    assert (tmp_path / "notes").read_text().splitlines() == ["stopped"] + ["requeue 77"] * requeues
    assert process.returncode == (0 if requeues else 143)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A real Slurm with three processors."""
    if root() is None:
        pytest.skip(MISSING if os.geteuid() == 0 else "a Slurm of the tests' own needs root to start jobs")
    with running_cluster(3) as cluster:
        yield cluster


@pytest.mark.slow
def test_the_array_runs_a_study_to_its_total_with_one_worker_requeued(
    tmp_path: Path, database: str, cluster: Cluster
) -> None:
    """Three workers; one is requeued by Slurm while it trains. Every trial is there once, every task ends well."""
    (tmp_path / "a.txt").write_text("the quick brown fox jumps over the lazy dog. " * 400)
    (tmp_path / "b.txt").write_text("pack my box with five dozen liquor jugs! " * 200)
    write(tmp_path, storage=database, cpus=1)
    init = [sys.executable, "-m", "hptransfer", "study", "init", str(tmp_path / "tiny.yaml"), "--storage", database]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
    folder = tmp_path / "my runs" / "tiny"
    job = cluster.run("sbatch", "--parsable", str(folder / "array.sbatch")).strip()
    deadline = time.monotonic() + 400
    while "task 10: done" not in _output(folder):
        assert time.monotonic() < deadline, _output(folder)
        time.sleep(0.2)
    cluster.run("scontrol", "requeue", f"{job}_1")
    while (states := cluster.states(job)) and set(states.values()) - {"COMPLETED"}:
        assert time.monotonic() < deadline, (states, _output(folder))
        if states.get(f"{job}_1") == "PENDING":  # Slurm holds a requeued task back for two minutes
            cluster.run("scontrol", "update", f"JobId={job}_1", "StartTime=now", check=False)
        time.sleep(1)
    output = (folder / f"slurm-{job}_1.out").read_text()

    assert set(states.values()) == {"COMPLETED"} or not states
    assert re.findall(r"restart (\d)", output) == ["0", "1"]
    assert (folder / "tuned.yaml").exists()
    searched = Counter(trial.user_attrs["key"] for trial in trials_of(database))
    assert list(searched.values()) == [1] * 42, _output(folder)


def _output(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("slurm-*.out")))

"""`--launcher` and `--processes`: how many processes train a trial, and what cannot be combined."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.engine.open_session import open_session
from hptransfer.engine.options import Launch, Launcher
from hptransfer.engine.process_launch import require_workers_here, with_processes
from hptransfer.errors import UsageError
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from tests.support.command_line import RECIPE, ROOT, called, hptransfer
from tests.support.landscape import FINGERPRINT
from tests.support.processes import rank_pids, wait_until_dead


def recipe(folder: Path, processes: int = 1) -> LoadedRecipe:
    """A recipe with a batch of 16 and so many processes of its own."""
    (folder / "tiny.yaml").write_text(RECIPE.replace("steps: 6,", f"steps: 6, processes: {processes},"))
    (folder / "a.txt").write_text("".join(f"{n * 3} bottles\n" for n in range(2000)))
    return load_recipe(folder / "tiny.yaml")


@pytest.mark.parametrize(
    ("own", "launch", "expected"),
    [
        (1, Launch(), 1),
        (4, Launch(), 4),
        (1, Launch(processes=2), 2),
        (4, Launch(processes=2), 2),
        (4, Launch(processes=1), 1),
        (1, Launch(Launcher.TORCHRUN, 3), 3),
        (4, Launch(Launcher.TORCHRUN), 4),
        (4, Launch(Launcher.NONE), 1),
        (4, Launch(Launcher.NONE, 1), 1),
    ],
)
def test_the_command_line_goes_before_the_recipe(tmp_path: Path, own: int, launch: Launch, expected: int) -> None:
    """Whatever is given overrides `training.processes`; recipe hash and everything else stay."""
    loaded = recipe(tmp_path, own)
    found = with_processes(loaded, launch)

    assert found.recipe.training.processes == expected
    assert found.hash == loaded.hash
    assert found.recipe.training.model_copy(update={"processes": own}) == loaded.recipe.training


@pytest.mark.parametrize(
    ("launch", "rule"),
    [
        (Launch(Launcher.NONE, 2), "needs a launcher"),
        (Launch(Launcher.TORCHRUN, 1), "at least two processes"),
        (Launch(Launcher.TORCHRUN), "must know how many processes"),
        (Launch(processes=17), r"--processes <= training\.batch_size"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, launch: Launch, rule: str) -> None:
    """A usage error, before anything is locked or written."""
    loaded = recipe(tmp_path)

    with pytest.raises(UsageError, match=rule), open_session(loaded.path, tmp_path / "runs", 1, launch=launch):
        pass
    assert not (tmp_path / "runs").exists()


def test_coordinators_of_workers_elsewhere_start_no_trial(tmp_path: Path) -> None:
    """Where workers train, the option is theirs; without it nothing is refused."""
    require_workers_here(Launch(), "postgresql://tuner@db.example/trials")
    with pytest.raises(UsageError, match="where trials are trained"):
        require_workers_here(Launch(processes=2), "postgresql://tuner@db.example/trials")


def test_trials_of_a_session_have_the_processes_of_the_command_line(tmp_path: Path) -> None:
    """The payload says so; the run folder remembers the recipe's own number, so that nothing seems changed."""
    loaded = recipe(tmp_path)
    for launch in (Launch(processes=2), None):
        with open_session(loaded.path, tmp_path / "runs", 1, launch=launch, fingerprint=FINGERPRINT) as session:
            wanted = 1 if launch is None else 2
            assert session.loaded.recipe.training.processes == wanted
    remembered = (tmp_path / "runs" / "tiny" / "recipe.json").read_text()
    assert '"processes": 1' in remembered


@pytest.mark.parametrize("command", ["tune", "check", "run", "worker"])
def test_every_command_that_trains_takes_it(tmp_path: Path, command: str) -> None:
    """The same refusal, exit 2, from each of them."""
    recipe(tmp_path)
    done = called(tmp_path, command, "tiny.yaml", "--launcher", "none", "--processes", "2")

    assert done.returncode == 2
    assert done.stderr.startswith("error: a trial of several processes needs a launcher\n")


@pytest.mark.slow
def test_torchrun_trains_what_the_command_line_asks_for(tmp_path: Path) -> None:
    """Two processes train while the command runs; stopped by SIGTERM it leaves none, and torchrun neither."""
    recipe(tmp_path)
    text = (tmp_path / "tiny.yaml").read_text()
    (tmp_path / "tiny.yaml").write_text(text.replace("steps: 6,", "steps: 100000,"))
    process = subprocess.Popen(
        [sys.executable, "-m", "hptransfer", "tune", "tiny.yaml", "--workers", "1", "--processes", "2", "--quiet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    ranks = rank_pids(2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert len(ranks) == 2
    assert process.returncode == 143
    wait_until_dead(*ranks)


@pytest.mark.slow
def test_a_search_by_two_processes_finds_what_one_finds(tmp_path: Path) -> None:
    """Through the command line: the same trials with the same losses up to rounding, so the same recommendation."""
    found = []
    for name, options in (("one", ()), ("two", ("--processes", "2"))):
        (tmp_path / name).mkdir()
        recipe(tmp_path / name)
        done = hptransfer(tmp_path / name, "tune", "tiny.yaml", "--workers", "1", "--json", "--quiet", *options)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    one, two = map(json.loads, found)

    assert two["expected_loss"] == pytest.approx(one["expected_loss"], rel=1e-4)
    assert two["recommended"] == pytest.approx(one["recommended"], rel=1e-2)

"""Programs that know nothing of hptransfer, tuned, checked and scaled through their command lines."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hptransfer.engine import command_proposal
from hptransfer.recipe.load import load_recipe
from hptransfer.verdict import Verdict

#: as a shell would need it: a clone may lie in a path with a space
INTERPRETER = shlex.quote(sys.executable)
PROGRAMS = Path(__file__).parents[1] / "support" / "programs"
SIZES = {"base": {"width": 16, "depth": 1}, "widths": [16, 32, 64, 128], "target": {"width": 256, "depth": 1}}
VERDICTS = {verdict.value for verdict in Verdict}
PYTHON = {
    "command": [
        *("{python}", "nanogpt_like.py", "--n_embd={width}", "--learning_rate={learning_rate}"),
        *("--max_iters={steps}", "--batch_size={batch_size}", "--seed={seed}"),
    ],
    "results": {"stdout": r"val loss (?P<value>\S+)", "curve": r"iter (?P<step>\d+): loss (?P<value>[\d.]+|nan)"},
}
NUMPY = {
    "command": ["{python}", "numpy_regression.py", "{config}", "{results}"],
    "config": {
        "template": "base.json",
        "set": {"model.width": "{width}", "optim.lr": "{learning_rate}", "optim.steps": "{steps}", "seed": "{seed}"},
    },
    "results": {"csv": "losses.csv", "step": "step", "curve": "train_loss"},
}
BASH = {
    "command": ["bash", "descent.sh", "{width}", "{learning_rate}", "{seed}", "{steps}"],
    "results": {"stdout": r"(?:step (?P<step>\d+) )?loss: (?P<value>\S+)", "final": "mean-of-last-4"},
}


def folder_of(tmp_path: Path, trainer: dict[str, Any], low: float, high: float, steps: int) -> Path:
    """A folder with the programs and a recipe."""
    folder = tmp_path / "project"
    shutil.copytree(PROGRAMS, folder)
    (folder / "base.json").write_text('{"model": {"width": 1}, "optim": {"lr": 1.0, "steps": 1}, "seed": 0}')
    recipe = {
        "name": "theirs",
        "trainer": trainer,
        "training": {"steps": steps, "batch_size": 16},
        "parameterization": {"name": "measured"},
        "sizes": SIZES,
        "tune": {"space": {"learning_rate": {"low": low, "high": high}}, "trials": 8, "seeds": 1, "confirm_seeds": 1},
        "check": {"octaves": 1.0, "spacing": 1.0, "seeds": 2},
    }
    (folder / "theirs.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return folder


def hptransfer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, in the folder."""
    command = [sys.executable, "-m", "hptransfer", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize(
    ("trainer", "low", "high", "steps", "verdicts"),
    [
        # x -= rate * width * x is best at rate 1 / width: it must not be said to transfer. Its loss gains nothing from
        # width, so no doubling buys a loss back, and without a bound in deviations it is open
        pytest.param(BASH, 0.001, 1.0, 40, {"DRIFTS", "INCONCLUSIVE"}, id="bash"),
        pytest.param(NUMPY, 0.01, 4.0, 60, VERDICTS, id="numpy", marks=pytest.mark.slow),
        pytest.param(PYTHON, 0.0005, 0.1, 60, VERDICTS, id="nanogpt", marks=pytest.mark.slow),
    ],
)
def test_a_program_is_tuned_checked_and_scaled(
    trainer: dict[str, Any], low: float, high: float, steps: int, verdicts: set[str], tmp_path: Path
) -> None:
    """By `run` alone; every trial has its logs, and the target a rate from the ladder's law."""
    folder = folder_of(tmp_path, trainer, low, high, steps)
    ran = hptransfer(folder, "run", "theirs.yaml", "--workers", "2", "--quiet")
    run = folder / "runs" / "theirs"

    assert ran.returncode in (0, 1, 3), ran.stderr
    report = json.loads((run / "transfer.json").read_text())
    tuned = yaml.safe_load((run / "tuned.yaml").read_text())
    assert low <= tuned["hyperparameters"]["learning_rate"] <= high
    assert report["verdict"] in verdicts
    assert not list(run.glob("failures/*"))
    trials = list((run / "logs").iterdir())
    assert len(trials) >= 8 + 1 + 4 * 3
    assert all((trial / "command.json").exists() for trial in trials)


def test_a_recipe_is_written_from_a_command(tmp_path: Path) -> None:
    """Flags by their names, the loss by what one run printed; the recipe is valid as it is."""
    folder = tmp_path / "project"
    shutil.copytree(PROGRAMS, folder)
    command = f"{INTERPRETER} nanogpt_like.py --n_embd 16 --n_layer=1 --learning_rate 0.01 --max_iters 20"
    wrote = hptransfer(folder, "init", "mine.yaml", "--from-command", command)
    recipe = load_recipe(folder / "mine.yaml").recipe
    section: Any = recipe.trainer

    assert wrote.returncode == 0, wrote.stderr
    assert wrote.stdout == "mine.yaml\n"
    assert list(section.command[2:]) == [
        *("--n_embd", "{width}", "--n_layer={depth}", "--learning_rate", "{learning_rate}"),
        *("--max_iters", "{steps}", "--seed", "{seed}"),  # it has no flag for the seed, and takes one
    ]
    assert (recipe.training.steps, recipe.sizes.base.width, recipe.sizes.base.depth) == (20, 16, 1)
    assert section.results.stdout == r"\bstep\s*(?P<step>\d+).*?val loss\s*(?P<value>[-+.\w]+)"
    assert "The loss was found in: step 20: train loss" in wrote.stderr


def test_a_command_that_fails_is_written_with_what_it_said(tmp_path: Path) -> None:
    """The recipe is there to be corrected, and says what is missing."""
    wrote = hptransfer(tmp_path, "init", "mine.yaml", "--from-command", "MODE=fast sh -c 'echo no data >&2; exit 3'")
    text = (tmp_path / "mine.yaml").read_text()

    assert wrote.returncode == 1, wrote.stderr
    assert wrote.stdout == "mine.yaml\n"
    assert wrote.stderr.splitlines()[-1] == "It failed with status 3: no data (mine.yaml was written all the same)"
    assert "missing: no flag tells the width" in text
    assert "environment: {MODE: fast}" in text or "shell: true" in text


def test_nothing_is_run_where_nobody_asks(tmp_path: Path) -> None:
    """`--no-try`."""
    wrote = hptransfer(
        tmp_path, "init", "m.yaml", "--no-try", "--from-command", "touch ran --lr 0.1 --width 8 --seed 1"
    )

    assert wrote.returncode == 0, wrote.stderr
    assert not (tmp_path / "ran").exists()
    assert load_recipe(tmp_path / "m.yaml").recipe.sizes.widths == (8, 16, 32, 64)


@pytest.mark.parametrize("command", ["", "  ", "MODE=fast"])
def test_nothing_is_no_command(command: str, tmp_path: Path) -> None:
    """And no recipe is written."""
    wrote = hptransfer(tmp_path, "init", "m.yaml", "--from-command", command)

    assert wrote.returncode == 2
    assert "`--from-command` must be a command line" in wrote.stderr
    assert "zip" not in wrote.stderr
    assert not (tmp_path / "m.yaml").exists()


def test_a_search_of_failures_says_with_what(tmp_path: Path) -> None:
    """Failures that differ end no run early; nothing diverged."""
    script = 'echo "no $2" | tr 0-9. a-k >&2; exit 3'
    trainer = {
        "command": ["sh", "-c", script, "sh", "{width}", "{learning_rate}", "{seed}"],
        "results": {"stdout": r"loss (\S+)"},
    }
    folder = folder_of(tmp_path, trainer, 0.001, 1.0, 5)
    ended = hptransfer(folder, "tune", "theirs.yaml", "--workers", "1", "--max-trials", "20")

    assert ended.returncode == 2
    assert "failed, the last with (error): the command ended with status 3: no " in ended.stderr
    assert "diverged" not in ended.stderr


def test_of_endless_output_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is looked for in the last bytes."""
    monkeypatch.setattr(command_proposal, "_KEPT", 1000)
    script = "print('loss 1', flush=True); print('x' * 9000); print('loss: 2.5')"
    draft = command_proposal.proposed_recipe(f'{INTERPRETER} -c "{script}"', "mine", Path.cwd())

    assert draft.results.found == "loss: 2.5"
    assert not draft.failure


@pytest.mark.parametrize(("path", "said"), [("inner/m.yaml", True), ("m.yaml", False)])
def test_a_recipe_away_from_its_program_says_what_it_does_not_see(path: str, said: bool, tmp_path: Path) -> None:
    """Files outside of the recipe's folder are in no trial's key."""
    wrote = hptransfer(tmp_path, "init", path, "--no-try", "--from-command", "python train.py --lr 0.1")

    assert wrote.returncode == 0, wrote.stderr
    assert ("outside of this recipe's folder" in wrote.stderr) is said
    assert ("outside of this recipe's folder" in (tmp_path / path).read_text()) is said

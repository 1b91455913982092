from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hptransfer.cli import app as module
from hptransfer.cli.app import app, function_of
from hptransfer.cli.registration import as_command
from hptransfer.engine.options import BudgetOptions, Launch, Launcher, OnChange, TrainingCommand, TrainingOptions
from tests.support.recipe_texts import GPT, MLP, edited

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = tuple(name for name in module.COMMANDS if "_" not in name)
HEAVY = ("torch", "optuna", "numpy", "scipy", "pydantic", "yaml", "matplotlib", "rich", "mup")


def invoke(*arguments: str) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    "arguments", [["--help"], *([name, "--help"] for name in COMMANDS), ["--version"]], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help and version load none of the large libraries (typer itself reads a command's options with pydantic)."""
    heavy = [name for name in HEAVY if name != "pydantic" or arguments[0].startswith("-")]
    code = (
        f"import sys; sys.argv = ['hptransfer', *{arguments}]\n"
        "from hptransfer.__main__ import main\n"
        "try: main()\n"
        f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"
    assert done.stdout.startswith("hptransfer " if "--version" in arguments else "Usage: hptransfer")


def test_help_lists_every_command() -> None:
    """The first page names all commands and explains the exit status."""
    text = invoke("--help").output

    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "Exit status: 0 it holds" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Usage:"),
        (["tun"], "Did you mean 'tune'"),
        (["tune"], "Missing argument 'RECIPE'"),
        (["tune", "r.yaml", "--worker", "2"], "--workers"),
        (["tune", "r.yaml", "--workers", "0"], "--workers"),
        (["tune", "r.yaml", "--workers", "two"], "--workers"),
        (["scale", "r.yaml", "--width", "-4096"], "--width"),
        (["plan", "r.yaml", "--depth", "1.5"], "--depth"),
        (["validate", "--format", "xml", "r.yaml"], "--format"),
        (["validate"], "Missing argument 'PATH...'"),
        (["init", "--template", "bert"], "is not one of gpt, quickstart"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    """A wrong command, option or value exits with 2 and names it."""
    result = invoke(*arguments)

    assert result.exit_code == 2
    assert said in result.output


def received(name: str, *arguments: str) -> dict[str, Any]:
    """What a command's function is called with; its status, 3, is the exit status."""
    calls: list[dict[str, Any]] = []

    @wraps(function_of(name))
    def record(**options: Any) -> int:
        calls.append(options)
        return 3

    program = typer.Typer()
    program.command(name)(as_command(name, record))
    result = CliRunner().invoke(program, list(arguments))
    assert (result.exit_code, len(calls)) == (3, 1), result.output
    return calls[0]


def test_options_reach_the_command() -> None:
    """Every option arrives under its own name, with its type and default; the status returned is the exit status."""
    assert (
        received("scale", "r", "--width", "8", "--tokens", "9", "--output", "t.yaml", "--force").items()
        >= {
            "recipe": "r",
            "runs": Path("runs"),
            "width": 8,
            "depth": None,
            "batch_size": None,
            "tokens": 9,
            "output": Path("t.yaml"),
            "force": True,
            "as_json": False,
        }.items()
    )
    assert received("plan", "r", "--full", "--json", "--gauge", "multipliers", "--diff", "mup", "completep") == {
        "recipe": "r",
        "runs": Path("runs"),
        "width": None,
        "depth": None,
        "full": True,
        "as_json": True,
        "as_markdown": False,
        "gauge": "multipliers",
        "diff": ("mup", "completep"),
    }
    assert received("retry", "r", "--cause", "out-of-memory")["cause"] == ["out-of-memory"]


@pytest.mark.parametrize("name", TrainingCommand)
def test_the_options_of_training_are_one_value(name: str) -> None:
    """They are declared once, and travel to each command that trains in one dataclass."""
    given = ["--runs", "elsewhere", "--workers", "5", "--quiet", "--max-time", "2h", "--max-flops", "1e15"]
    further = ["--on-change", "keep", "--launcher", "torchrun", "--processes", "2", "--log", "wandb", "--log", "mlflow"]

    assert received(name, "r", *given, *further)["options"] == TrainingOptions(
        recipe="r",
        runs=Path("elsewhere"),
        workers=5,
        budget=BudgetOptions(max_flops=1e15, max_time="2h"),
        launch=Launch(Launcher.TORCHRUN, 2),
        on_change=OnChange.KEEP,
        log=["wandb", "mlflow"],
        quiet=True,
    )


@dataclass(frozen=True)
class Inner:
    """Options that travel in others."""

    speed: Annotated[float, typer.Option(help="How fast.")] = 1.0


@dataclass(frozen=True)
class Outer:
    """Options that travel together."""

    recipe: Annotated[str, typer.Argument()]
    inner: Inner = Inner()


def called(together: Outer, *, loud: bool = False) -> int:
    """Do it.

    Returns:
        5 with both options, else 0.
    """
    return 5 if (together, loud) == (Outer("r", Inner(2.0)), True) else 0


def test_a_new_option_of_training_is_a_field() -> None:
    """A dataclass in a command's signature expands, dataclasses in it too, and comes back as a value."""
    program = typer.Typer()
    program.command()(as_command("called", called))

    assert CliRunner().invoke(program, ["r", "--speed", "2", "--loud"]).exit_code == 5
    text = CliRunner().invoke(program, ["--help"]).output
    assert "Do it." in text
    assert "How fast." in text
    assert "Returns" not in text


def test_workers_default_to_the_processors() -> None:
    """One worker per processor that this process may use, which can be fewer than the machine has."""
    processor = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-m", "hptransfer", "tune", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: os.sched_setaffinity(0, {processor}),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[default: 1;" in done.stdout


BAD = {
    "empty file": ("", "a recipe must not be empty"),
    "wrong key": (
        edited(MLP, ("steps: 100", "steps: 100\n  stepz: 3")),
        "recipe.yaml:6:3: `stepz` is not a key of `training`",
    ),
    "wrong type": (edited(MLP, ("steps: 100", "steps: many")), "recipe.yaml:5:10: `training.steps` must be an integer"),
    "negative width": (edited(MLP, ("width: 64", "width: -64")), "recipe.yaml:8:17: `sizes.base.width >= 1` must hold"),
    "head_dim": (edited(GPT, ("512]", "520]")), "recipe.yaml:9:26: `width % head_dim == 0` must hold for gpt"),
    "unknown model": (edited(MLP, ("mlp", "mpl")), "recipe.yaml:2:15: `model.kind` must be one of `mlp`, `gpt`"),
    "empty space": (
        edited(MLP, ("    learning_rate: {low: 1e-4, high: 1e-1}", "    {}")),
        "recipe.yaml:13:5: `tune.space` must name at least one hyperparameter",
    ),
    "small target": (edited(MLP, ("1024", "16")), "recipe.yaml:10:19: `target.width >= base.width` must hold"),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_bad_recipes(tmp_path: Path, text: tuple[str, str], command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bad inputs every command must survive: a clear message on stderr, exit status 2, no traceback, no output."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(text[0])

    result = invoke(command, "recipe.yaml")

    assert result.exit_code == 2
    assert text[1] in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_missing_file(command: str) -> None:
    """A file that is not there exits with 2 whatever the command."""
    result = invoke(command, "nowhere/recipe.yaml")

    assert result.exit_code == 2
    assert "the recipe must exist" in result.output


def test_python_m(tmp_path: Path) -> None:
    """`python -m hptransfer` works from any folder, in a locale without Unicode, and passes the exit status on."""
    (tmp_path / "r.yaml").write_text(edited(MLP, ("{kind: mlp}", "{kind: µ数}")))
    environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}

    done = subprocess.run(
        [sys.executable, "-m", "hptransfer", "validate", "r.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, "")
    assert 'received: "??" (text)' in done.stdout

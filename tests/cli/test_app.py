from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli import app as module
from hptransfer.cli.app import app
from hptransfer.engine.options import BudgetOptions, Launch, TrainingOptions
from tests.support.recipe_texts import GPT, MLP, edited

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("init", "validate", "plan", "tune", "check", "scale", "run", "status", "retry", "stop")
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
        (["validate"], "Missing argument 'RECIPE...'"),
        (["init", "--template", "bert"], "'gpt', 'quickstart'"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    """A wrong command, option or value exits with 2 and names it."""
    result = invoke(*arguments)

    assert result.exit_code == 2
    assert said in result.output


def test_options_reach_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option arrives under its own name, with its type and default; the status returned is the exit status."""
    calls: list[tuple[str, dict[str, object]]] = []

    def record(command: str, **options: object) -> None:
        calls.append((command, options))
        raise SystemExit(3)

    monkeypatch.setattr(module, "dispatch", record)

    assert invoke("scale", "r", "--width", "8", "--tokens", "9", "--output", "t.yaml", "--force").exit_code == 3
    invoke(
        "run",
        "r",
        "--runs",
        "elsewhere",
        "--workers",
        "5",
        "--quiet",
        "--max-time",
        "2h",
        "--max-flops",
        "1e15",
        "--on-change",
        "keep",
    )
    invoke("plan", "r", "--full", "--json", "--gauge", "multipliers", "--diff", "mup", "completep")
    invoke("validate", "a", "b", "--format", "github", "--trust")
    assert calls == [
        (
            "scale",
            {
                "recipe": "r",
                "runs": Path("runs"),
                "width": 8,
                "depth": None,
                "batch_size": None,
                "tokens": 9,
                "output": Path("t.yaml"),
                "force": True,
                "as_json": False,
                "formats": [],
            },
        ),
        (
            "run",
            {
                "options": TrainingOptions(
                    recipe="r",
                    runs=Path("elsewhere"),
                    workers=5,
                    budget=BudgetOptions(max_flops=1e15, max_time="2h"),
                    on_change="keep",
                    quiet=True,
                ),
                "force": False,
            },
        ),
        (
            "plan",
            {
                "recipe": "r",
                "width": None,
                "depth": None,
                "full": True,
                "as_json": True,
                "as_markdown": False,
                "gauge": "multipliers",
                "diff": ("mup", "completep"),
            },
        ),
        ("validate", {"recipes": ["a", "b"], "output_format": "github", "trust": True, "rules": []}),
    ]


def taken_by(function: Callable[..., int]) -> Iterator[str]:
    """Parameters of a function, those that travel together one by one."""
    together = {"options": TrainingOptions, "budget": BudgetOptions, "launch": Launch}
    names = list(inspect.signature(function).parameters)
    while names:
        name = names.pop()
        if name in together:
            names += [field.name for field in fields(together[name])]
        else:
            yield name


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "check"])
def test_commands_take_what_the_command_line_gives(name: str) -> None:
    """Each command function's parameters are exactly the options of its command."""
    if find_spec(f"hptransfer.commands.{name}") is None:
        pytest.fail(f"hptransfer/commands/{name}.py does not exist")
    function = getattr(import_module(f"hptransfer.commands.{name}"), f"{name}_command")

    offered = list(inspect.signature(getattr(module, name)).parameters)

    assert sorted(taken_by(function)) == sorted(offered)


def test_the_functions_behind_check_take_its_options() -> None:
    """A recipe, a table of results and a finished run share one command; together they take exactly its options."""
    taken: dict[str, None] = {}
    for name in ("check", "check_results", "verify"):
        function = getattr(import_module(f"hptransfer.commands.{name}"), f"{name}_command")
        taken |= dict.fromkeys(taken_by(function))

    assert sorted(taken) == sorted(inspect.signature(module.check).parameters)


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

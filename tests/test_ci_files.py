"""The composite action, the example workflows and the hooks: read, and run as the runners run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command_line import RECIPE, ROOT
from tests.support.command_lines import parsed

ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "docs/examples/github-workflow.yml"
GITLAB = ROOT / "docs/examples/gitlab-ci.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
BROKEN = RECIPE.replace("name: mup", "name: mupp")


def content(path: Path) -> Any:
    """A YAML file as its runner reads it: `on` stays a word."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - it builds texts alone


def script_of(name: str) -> str:
    """The script of the action's step with this name."""
    (step,) = (step for step in content(ACTION)["runs"]["steps"] if step.get("name") == name)
    text = step["run"]
    assert isinstance(text, str)
    return text


@dataclass(frozen=True)
class Ran:
    """What a step did.

    Attributes:
        status: exit status of the step.
        text: what it printed, both streams.
        outputs: what it wrote for later steps.
        summary: what it wrote for the page of the run.
    """

    status: int
    text: str
    outputs: dict[str, str]
    summary: str


def checked(folder: Path, scratch: Path, **inputs: str) -> Ran:
    """The action's second step in a checkout, with its environment and nothing else of the runner."""
    scratch.mkdir(exist_ok=True)
    tool = scratch / "hptransfer"
    tool.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m hptransfer "$@"\n')
    tool.chmod(0o755)
    given = {name: str(value["default"]) for name, value in content(ACTION)["inputs"].items()} | inputs
    (step,) = (each for each in content(ACTION)["runs"]["steps"] if each.get("id") == "check")
    environment = {
        name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: given[found[1]], value)
        for name, value in step["env"].items()
    }
    environment |= {
        "HPTRANSFER": str(tool),
        "PATH": os.environ["PATH"],
        "HOME": str(scratch),
        "GITHUB_WORKSPACE": str(folder),
        "RUNNER_TEMP": str(scratch),
        "GITHUB_STEP_SUMMARY": str(scratch / "summary.md"),
        "GITHUB_OUTPUT": str(scratch / "outputs"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outputs, summary = scratch / "outputs", scratch / "summary.md"
    lines = outputs.read_text().splitlines() if outputs.exists() else []
    return Ran(
        done.returncode,
        done.stdout,
        dict(line.split("=", 1) for line in lines),
        summary.read_text() if summary.exists() else "",
    )


def git(folder: Path, *arguments: str) -> None:
    """A command of git that asks nobody's configuration."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """A shallow checkout of a pull request as checkout's `fetch-depth: 2` leaves it: the merge of head into base."""
    origin = tmp_path / "origin"
    (origin / "recipes").mkdir(parents=True)
    (origin / "recipes/1.txt").write_text("text " * 4000)
    (origin / "recipes/tiny.yaml").write_text(RECIPE)
    git(origin, "init", "--quiet", "--initial-branch=main")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message=base")
    git(origin, "checkout", "--quiet", "-b", "head")
    (origin / "recipes/tiny.yaml").write_text(RECIPE.replace("steps: 6", "steps: 7"))
    git(origin, "commit", "--quiet", "--all", "--message=head")
    git(origin, "checkout", "--quiet", "main")
    git(origin, "merge", "--quiet", "--no-ff", "--message=merge", "head")
    git(tmp_path, "clone", "--quiet", "--depth=2", f"file://{origin}", "checkout")
    return tmp_path / "checkout"


def test_a_pull_request_is_annotated_and_compared_with_its_base(merged: Path, tmp_path: Path) -> None:
    """A broken recipe is an annotation at its line and fails the step; the summary says what changed since HEAD^1."""
    (merged / "recipes/broken.yaml").write_text(BROKEN)
    # a stranger's modules and settings: none of them may run
    for name in ("hptransfer", "yaml", "typer", "sitecustomize"):
        (merged / f"{name}.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")

    ran = checked(
        merged,
        tmp_path / "scratch",
        paths="recipes/tiny.yaml\n\nrecipes/broken.yaml\n",
        levels="static",
        base="HEAD^1",
        strict="true",
        runs="nowhere",
    )

    assert ran.status == 1
    assert re.search(r"^::error file=recipes/broken\.yaml,line=5,col=26,", ran.text, flags=re.MULTILINE)
    assert ran.outputs["status"] == "1"
    assert "::error" in Path(ran.outputs["report"]).read_text()
    assert "mupp" in ran.summary
    assert re.search("training.*steps.*6.*7", ran.summary)
    assert not (tmp_path / "canary").exists()


def test_nothing_but_annotations_is_a_command_to_the_runner(merged: Path, tmp_path: Path) -> None:
    """Names of files begin no workflow command: what is said to people is fenced by a token that nobody knows."""
    hostile = "::set-env name=A::b.yaml"
    (merged / hostile).write_text(BROKEN)

    ran = checked(merged, tmp_path / "scratch", paths=f"{hostile}\n--help", levels="static", format="text")

    opened = re.findall(r"^::stop-commands::([0-9a-f]{32})$", ran.text, flags=re.MULTILINE)
    before, fenced, after = re.split(
        rf"^::(?:stop-commands::)?{opened[0]}::$|^::stop-commands::.*$", ran.text, flags=re.M
    )
    assert ran.status == 2  # `--help` is a file that is not there, and no option
    assert "::" not in before
    assert "mupp" in fenced
    assert "--help" in fenced
    assert "::" not in after


def test_formats_for_files_print_nothing_to_the_runner(merged: Path, tmp_path: Path) -> None:
    """SARIF is the output `report`, which the workflow's next step uploads; a sound recipe ends with 0."""
    ran = checked(merged, tmp_path / "scratch", paths="recipes/tiny.yaml", levels="static", format="sarif")

    assert (ran.status, ran.outputs["status"]) == (0, "0")
    assert '"version":"2.1.0"' in Path(ran.outputs["report"]).read_text()
    assert "2.1.0" not in ran.text


def test_the_workflow_s_own_inputs_run(merged: Path, tmp_path: Path) -> None:
    """What the example gives to the action ends with 0 on a sound pull request; evidence there is none of."""
    steps = content(WORKFLOW)["jobs"]["recipes"]["steps"]
    (given,) = (dict(step["with"]) for step in steps if "hptransfer@" in step["uses"])
    assert "'HEAD^1'" in given["base"]
    (merged / "1.txt").write_text("text " * 4000)

    ran = checked(merged, tmp_path / "scratch", **given | {"base": "HEAD^1", "levels": "static,shapes"})

    assert (ran.status, "1 changed" in ran.summary) == (0, True), ran.text


def installed(action: Path, workspace: Path, version: str = "") -> subprocess.CompletedProcess[str]:
    """The action's first script, where the set-up and pip only write down that they ran."""
    (action / "requirements").mkdir(parents=True)
    (action / ".venv/bin").mkdir(parents=True)
    workspace.mkdir(exist_ok=True)
    for name in ("requirements/install.sh", ".venv/bin/python"):
        (action / name).write_text(f'#!/bin/sh\necho "ran {Path(name).name} $*"\n')
        (action / name).chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "ACTION": str(action), "GITHUB_WORKSPACE": str(workspace)}
    return subprocess.run(
        ["bash", "-e", "-c", script_of("Install hptransfer")],
        cwd=action,
        env=environment | {"VERSION": version},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tool_is_the_action_s_own_commit_or_a_release(tmp_path: Path) -> None:
    """Without a version the action's set-up alone runs; with one, that release is installed without dependencies."""
    own = installed(tmp_path / "a", tmp_path / "work")
    release = installed(tmp_path / "b", tmp_path / "work", "0.2.0")

    assert (own.returncode, own.stdout) == (0, "ran install.sh runtime\n")
    assert release.returncode == 0
    assert release.stdout.splitlines()[1].endswith("--no-deps --force-reinstall hptransfer==0.2.0")


def test_the_tool_never_comes_from_the_checkout(tmp_path: Path) -> None:
    """`uses: ./` would run the stranger's code, also behind a link; a version is no option of pip."""
    work = tmp_path / "work"
    inside = installed(work / "action", work)
    (tmp_path / "link").symlink_to(work)
    behind = installed(work / "other", tmp_path / "link")
    options = installed(tmp_path / "c", work, "0.1 --index-url=x")

    for refused in (inside, behind, options):
        assert refused.returncode == 2
        assert refused.stdout.startswith("::error::")
        assert "ran install.sh" not in refused.stdout


def test_scripts_take_inputs_from_the_environment_alone() -> None:
    """No `${{ }}` stands in a script, where an input would be read as shell."""
    for step in content(ACTION)["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=lambda path: path.name)
def test_actions_are_named_by_full_commits(path: Path) -> None:
    """Every `uses` names 40 hexadecimal digits, with the release beside it, because tags move."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\s+-? ?uses:", line)]

    assert lines
    for line in lines:
        assert re.search(r"uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # \S", line), line


def test_the_workflow_only_reads() -> None:
    """A stranger's pull request gets a token that reads and no secret; SARIF is uploaded of pushes alone."""
    workflow = content(WORKFLOW)

    assert set(workflow["on"]) == {"pull_request", "push"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets" not in WORKFLOW.read_text(encoding="utf-8").replace("no secret is", "")
    checkouts = [
        step for job in workflow["jobs"].values() for step in job["steps"] if "actions/checkout" in step["uses"]
    ]
    assert [step["with"]["persist-credentials"] for step in checkouts] == ["false", "false"]
    writing = {name for name, job in workflow["jobs"].items() if "write" in str(job.get("permissions", ""))}
    assert writing == {"code-scanning"}
    assert workflow["jobs"]["code-scanning"]["if"] == "github.event_name == 'push'"


def test_the_workflow_gives_inputs_that_the_action_has() -> None:
    """Every key under `with` of the action is one of its inputs, and every level and format exists."""
    known = content(ACTION)["inputs"]
    for job in content(WORKFLOW)["jobs"].values():
        for step in job["steps"]:
            if "hptransfer@" in step["uses"]:
                given = step["with"]
                assert set(given) <= set(known)
                parsed(f"hptransfer validate {given['paths']} --level {given['levels']}")


@pytest.mark.parametrize("line", ["hptransfer validate a.yaml --levels static", "hptransfer valid a.yaml"])
def test_stale_lines_are_noticed(line: str) -> None:
    """The reader of command lines refuses an option and a command that do not exist."""
    with pytest.raises(Exception, match="No such"):
        parsed(line)


def test_gitlab_s_job_calls_what_exists() -> None:
    """Each call of hptransfer is one that the command line takes, and the reports are those that are written."""
    job = content(GITLAB)["recipes"]
    called = [found for line in job["script"] for found in re.findall(r"hptransfer [a-z][^|>\n]*", line)]

    assert len(called) == 4
    for line in called:
        parsed(line.replace('"$CI_MERGE_REQUEST_DIFF_BASE_SHA"', "main"))
    for report in job["artifacts"]["reports"].values():
        assert any(line.split("> ")[-1].startswith(report) for line in job["script"] if "> " in line)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "status"), [(RECIPE, 0), (BROKEN, 1)], ids=["sound", "broken"])
def test_gitlab_s_job_ends_as_validate_does(merged: Path, tmp_path: Path, text: str, status: int) -> None:
    """Its script, run line by line as one shell, writes both reports and ends with the status of validate or diff."""
    (merged / "recipes/tiny.yaml").write_text(text)
    script = "\n".join(content(GITLAB)["recipes"]["script"])
    script = script.replace("validate recipes ", "validate recipes/tiny.yaml ").replace(
        "static,shapes,evidence", "static"
    )
    tool = tmp_path / "hptransfer"
    tool.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m hptransfer "$@"\n')
    tool.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD^1",
        "CI_PROJECT_DIR": str(merged),
    }
    call = ["bash", "-e", "-o", "pipefail", "-c", script]
    done = subprocess.run(call, cwd=merged, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == status, done.stderr
    issues = json.loads((merged / "gl-code-quality.json").read_text())
    assert {each["location"]["path"] for each in issues} == {"recipes/tiny.yaml"}
    assert ('failures="0"' in (merged / "hptransfer-junit.xml").read_text()) is (status == 0)
    assert "HEAD^1 -> ." in done.stdout


@pytest.mark.parametrize("hook", content(HOOKS), ids=lambda hook: hook["id"])
def test_hooks_check_recipes_and_nothing_else(hook: dict[str, Any], tmp_path: Path) -> None:
    """The pattern takes recipes and leaves evidence; entry, arguments and names make one call, 0 or 1."""
    taken = re.compile(hook["files"])

    assert all(taken.search(name) for name in ("recipes/a.yaml", "x/recipes/b.yml", "any/c.hptransfer.yaml"))
    assert not any(taken.search(name) for name in ("recipes/runs/a/tuned.yaml", "a.yaml", "myrecipes/a.yaml"))
    call = [*hook["entry"].split(), *hook["args"]]
    assert call[-1] == "--"
    assert parsed(" ".join([*call, "-x.yaml"]))["recipes"] == ["-x.yaml"]


def test_the_hook_s_call_tells_sound_recipes_from_broken_ones(tmp_path: Path) -> None:
    """As pre-commit calls it: several files in one process, 1 where one is broken."""
    (tmp_path / "1.txt").write_text("text " * 4000)
    (tmp_path / "sound.yaml").write_text(RECIPE)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    hook = content(HOOKS)[0]
    call = [sys.executable, "-P", "-m", *hook["entry"].split(), *hook["args"]]

    def status(*names: str) -> int:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*call, *names], cwd=tmp_path, env=environment, capture_output=True, check=False
        ).returncode

    assert status("sound.yaml") == 0
    assert status("sound.yaml", "broken.yaml") == 1

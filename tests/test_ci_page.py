"""docs/recipes-in-ci.md: what it shows is what the program prints."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import ROOT
from tests.support.command_lines import parsed

PAGE = ROOT / "docs/recipes-in-ci.md"
FENCED = re.compile(r"^```console (?P<place>\S+)\n(?P<text>.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def steps(place: str) -> Iterator[tuple[str, str]]:
    """Command and what the page shows of it, of all blocks that are run in one place, in their order."""
    text = "".join(
        found["text"] for found in FENCED.finditer(PAGE.read_text(encoding="utf-8")) if found["place"] == place
    )
    for part in text.split("$ ")[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def replayed(place: str, folder: Path) -> tuple[str, str]:
    """What the page shows, and what its commands print, with the exit status in brackets where it is not 0."""
    tool = folder / ".bin/hptransfer"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m hptransfer "$@"\n')
    tool.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    shown, printed = "", ""
    for command, output in steps(place):
        shown += f"$ {command}\n{output}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        status = f"[{done.returncode}]\n" if done.returncode else ""
        printed += f"$ {command}\n{done.stdout}{done.stderr}{status}"
    return shown, printed


def test_the_first_steps_print_what_the_page_shows(tmp_path: Path) -> None:
    """A recipe is made, broken, repaired and excused, in an empty folder."""
    shown, printed = replayed("new-folder", tmp_path)

    assert "HPT008" in shown
    assert printed == shown


@pytest.mark.slow
def test_evidence_prints_what_the_page_shows(tmp_path: Path) -> None:
    """Committed evidence is computed again, edited, and compared with a changed recipe, in a repository of its own.

    What depends on the machine is no part of it: warnings of another torch, platform or Python are left out.
    """
    (tmp_path / "recipes").mkdir()
    for name in ("quickstart", "quickstart-standard"):
        shutil.copy(ROOT / f"recipes/{name}.yaml", tmp_path / "recipes")
        shutil.copytree(ROOT / f"recipes/runs/{name}", tmp_path / f"recipes/runs/{name}")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-f", "recipes"], [*identity, "commit", "-qm", "base"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)

    shown, printed = replayed("checkout", tmp_path)

    assert "HPT406" in shown
    printed = re.sub(r"warning\[HPT41\d\].*?\n\nhint: .*?\n\n", "", printed, flags=re.DOTALL)
    assert re.sub(r"\d+ warnings?", "", printed) == re.sub(r"\d+ warnings?", "", shown)


def test_every_command_of_the_page_is_one() -> None:
    """Each line after a prompt, and each command in running text, is taken by the command line as it is now."""
    text = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"^\s*\$ (.*)$", text, flags=re.MULTILINE)
    lines += re.findall(r"`(hptransfer [a-z][^`]*)`", text)
    called = [part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("hptransfer ")]

    assert len(called) > 8
    for line in called:
        parsed(line)


def test_gitignore_is_the_one_that_the_page_shows(tmp_path: Path) -> None:
    """The lines of the page let through what evidence consists of, and this project's file has them."""
    block = re.search(r"^    runs/\n(?:    .*\n)+", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert block is not None
    rules = [line.strip() for line in block[0].splitlines()]

    assert set(rules) <= set((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())
    (tmp_path / ".gitignore").write_text("\n".join(rules) + "\n")
    kept = [f"recipes/runs/a/{name}" for name in ("tuned.yaml", "transfer.json", "target.yaml")]
    left = [
        "recipes/runs/a/study.db",
        "recipes/runs/a/figures/loss.svg",
        "recipes/runs/a/recipe.json",
        "runs/a/tuned.yaml",
    ]
    for name in [*kept, *left]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        shlex.split("git ls-files --others --exclude-standard"),
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    assert set(listed.stdout.split()) == {".gitignore", *kept}


def test_committed_evidence_names_no_place_of_a_machine() -> None:
    """Evidence of the recipes that ship: three files at most, small, without absolute paths."""
    files = sorted((ROOT / "recipes/runs").rglob("*.*"))

    assert {path.name for path in files} == {"tuned.yaml", "transfer.json", "target.yaml"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert len(text) < 200_000
        assert not re.search(r"(?<![\w.])/(?:tmp|home|root|work|Users)/", text), path

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.hostile_recipes import CORPUS
from tests.support.recipe_texts import GPT, faults


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_findings_not_crashes(tmp_path: Path, name: str) -> None:
    """Each hostile recipe ends in located findings that are short enough to print."""
    found = faults(tmp_path, CORPUS[name])

    assert 0 < len(found) <= 200
    assert all(len(f"{finding.rule}{finding.received}{finding.hint}") < 1000 for finding in found)


def limit() -> None:
    """Bounds on a child that no honest run comes near: a bomb that goes off is killed instead of stalling the tests."""
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))


def test_the_command_survives_all_of_them(tmp_path: Path) -> None:
    """`validate` over the whole corpus in one bounded process: exit status 1, findings for each, nothing executed."""
    for name, content in CORPUS.items():
        (tmp_path / f"{name}.yaml").write_bytes(content)
    command = [sys.executable, "-m", "hptransfer", "validate", "--format", "json"]
    root = str(Path(__file__).resolve().parents[2])

    done = subprocess.run(
        [*command, *(f"{name}.yaml" for name in CORPUS)],
        cwd=tmp_path,
        env={"PYTHONPATH": root},
        preexec_fn=limit,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, b"")
    recipes = json.loads(done.stdout)["recipes"]
    assert [recipe["recipe"] for recipe in recipes if recipe["valid"]] == []
    assert len(recipes) == len(CORPUS)
    assert not (tmp_path / "owned").exists()


def test_symbolic_link_loop(tmp_path: Path) -> None:
    """A link to itself is a file that cannot be read."""
    from hptransfer.recipe.load import RecipeUnavailableError, load_recipe

    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")

    with pytest.raises(RecipeUnavailableError, match="must be readable"):
        load_recipe(tmp_path / "loop.yaml")


@given(st.text("ab:{}[]-,&*!|>'\"#%@?<~\n \t019.e\\", max_size=120))
@settings(max_examples=100, deadline=None)
def test_any_text_ends_in_findings(text: str) -> None:
    """Random text full of YAML's special characters is a list of faults, never a crash."""
    with tempfile.TemporaryDirectory() as folder:
        assert faults(Path(folder), text)


@given(st.integers(0, len(GPT)), st.integers(0, 40), st.text("ab:{}[],-1.\n ", max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_damage_to_a_recipe_is_survived(start: int, length: int, inserted: str) -> None:
    """A recipe with a random piece cut out or replaced is valid or a list of located faults."""
    damaged = GPT[:start] + inserted + GPT[start + length :]

    with tempfile.TemporaryDirectory() as folder:
        assert all(finding.place and finding.place.line for finding in faults(Path(folder), damaged))

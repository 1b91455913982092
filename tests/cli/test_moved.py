"""Spellings of earlier versions are answered with the command that does it now."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hptransfer.cli.app import app
from hptransfer.cli.moved import moved


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["--results", "runs.csv"], "hptransfer judge runs.csv"),
        (
            ["--results=my runs.csv", "--where", "depth=2", "--json"],
            "hptransfer judge 'my runs.csv' --where depth=2 --json",
        ),
        (["recipe.yaml", "--verify", "1.85", "--json"], "hptransfer verify recipe.yaml 1.85 --json"),
        (["--verify", "log.csv", "recipe.yaml", "--runs", "r"], "hptransfer verify recipe.yaml log.csv --runs r"),
        (["--runs", "x", "t.yaml", "--verify", "2.0"], "hptransfer verify t.yaml 2.0 --runs x"),
        (["--runs=x", "-q", "t.yaml", "--workers", "2", "--verify=2.0"], "hptransfer verify t.yaml 2.0 --runs=x"),
        (["--workers", "2", "--verify", "2.0", "--dry-run"], "hptransfer verify RECIPE 2.0"),
        (["--runs", "x", "--target", "64", "--results", "a.csv", "-q"], "hptransfer judge a.csv --target 64 -q"),
        (["recipe.yaml", "--sharpness", "-q"], "hptransfer check recipe.yaml --diagnostic sharpness -q"),
        (["r.yaml", "--noise-scale"], "hptransfer check r.yaml --diagnostic noise-scale"),
    ],
)
def test_the_answer_can_be_pasted(old: list[str], new: str) -> None:
    """Exit status 2 and the whole command, quoted where it must be."""
    result = CliRunner().invoke(app, ["check", *old])

    assert result.exit_code == 2
    assert f"run `{new}`" in result.stderr


@pytest.mark.parametrize("words", [["recipe.yaml"], ["recipe.yaml", "--diagnostic", "sharpness"], ["--help"]])
def test_the_present_spelling_is_left_alone(words: list[str]) -> None:
    """Negative control."""
    assert moved(words, lambda command: {}) is None

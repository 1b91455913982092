"""cost and dry runs from the command line: they train nothing, write nothing, and use what finished trials know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import RECIPE, called, hptransfer

LLAMA = Path(__file__).parents[1] / "data" / "cost" / "llama-7b.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its own text."""
    folder = tmp_path_factory.mktemp("cost")
    (folder / "tiny.yaml").write_text(RECIPE)
    for number in range(8):
        (folder / f"{number}.txt").write_text("".join(f"{n * (number + 3)} bottles\n" for n in range(200)))
    return folder


def test_cost_prints_and_writes_nothing(folder: Path) -> None:
    """Exit 0; a table of shares, a table of memory, and no run folder."""
    done = hptransfer(folder, "cost", "tiny.yaml")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "tuning there" in done.stdout
    assert "activations" in done.stdout
    assert "time is not known" in done.stdout
    assert not (folder / "runs").exists()


def test_finished_trials_give_times_and_dry_runs_count_them(folder: Path) -> None:
    """After tune: `cost` has times without being told a speed, and a dry run knows what is left."""
    assert hptransfer(folder, "tune", "tiny.yaml", "--quiet", "--runs", "tuned").returncode == 0
    cost = json.loads(called(folder, "cost", "tiny.yaml", "--runs", "tuned", "--json").stdout)
    dry = json.loads(called(folder, "run", "tiny.yaml", "--runs", "tuned", "--dry-run", "--json").stdout)

    assert all(row["seconds"] > 0 for row in cost["rows"])
    assert "that of w8-d2" in cost["throughput"]
    assert dry["command"] == "run"
    assert dry["seconds"] > 0
    assert dry["timed"] == []
    # the search and its confirmation are finished; the check's own trials are not
    assert 7 <= dry["finished"] < dry["trials"]


def test_a_speed_that_is_none_is_a_usage_error(folder: Path) -> None:
    """Exit 2 with the rule and what was received."""
    done = called(folder, "cost", "tiny.yaml", "--flops-per-second", "-1")

    assert done.returncode == 2
    assert "`--flops-per-second` must be positive and finite" in done.stderr


def test_a_size_that_does_not_exist_is_a_usage_error(folder: Path) -> None:
    """A width that heads do not divide."""
    text = RECIPE.replace("{kind: mlp, context: 4, embedding: 4}", "{kind: gpt, context: 4, head_dim: 8}")
    (folder / "heads.yaml").write_text(text.replace("width: 128", "width: 100"))
    done = called(folder, "cost", "heads.yaml")

    assert done.returncode == 2
    assert "head_dim" in done.stderr


def test_a_target_of_seven_billion(tmp_path: Path) -> None:
    """A proxy of 42M at the target's depth; 24 + 2 trials there are 26 targets."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    done = called(tmp_path, "cost", str(LLAMA), "--flops-per-second", "4e14", "--examples-at-once", "1", "--json")
    found = json.loads(done.stdout)
    rows = {row["name"]: row for row in found["rows"]}

    assert [size["parameters"] for size in found["sizes"]][::4] == [41_697_536, 6_738_415_616]
    assert rows["tuning there"]["of_target"] == pytest.approx(26)
    # 6 N D with its attention, arXiv 2204.02311: 46.1e9 operations for each of 134.8e9 tokens, at 4e14 per second
    assert rows["target w4096-d32"]["flops"] == pytest.approx(6.2e21, rel=0.01)
    assert rows["target w4096-d32"]["seconds"] == pytest.approx(180 * 86400, rel=0.01)
    assert 0.03 < rows["whole"]["of_target"] < 0.04
    # weights, gradients and two averages of AdamW, in 4 bytes each
    target = found["sizes"][-1]
    assert target["memory"] - target["activations"] == pytest.approx(16 * 6_738_415_616, rel=1e-6)

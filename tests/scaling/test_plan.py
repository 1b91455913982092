"""hptransfer plan: every group, with its rule, in text and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptransfer.commands.plan import plan_command
from hptransfer.errors import UsageError
from hptransfer.recipe.load import load_recipe
from tests.support.checked_folder import RECIPE


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A small decoder under completep."""
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], recipe: str, **options: object) -> str:
    """What the command prints on stdout; stderr stays silent."""
    arguments = {"width": None, "depth": None, "full": False, "as_json": False} | options
    assert plan_command(recipe, **arguments) == 0  # type: ignore[arg-type]  # options of one test
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_every_group_is_a_line(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Repeated layers collapse into one line with their number."""
    lines = printed(capsys, recipe).splitlines()
    found = {line.split()[0]: line.split()[1] for line in lines if ".weight" in line.split(" ")[0]}

    assert found == {
        "embedding.weight": "1",
        **{
            f"blocks.*.{part}.weight": "8"
            for part in ("attention_norm", "q", "k", "v", "attention_out", "mlp_norm", "up", "down")
        },
        "final_norm.weight": "1",
        "readout.weight": "1",
    }


def test_a_line_has_values_and_rule(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Shape, role, init std, learning rate, decay, eps and rules stand on the parameter's line."""
    line = next(line for line in printed(capsys, recipe).splitlines() if line.startswith("blocks.*.down"))

    # m_N = 4, m_L = 4: std 1/sqrt(64)/2/4, lr 0.01/4/4, decay 0.1*4*4, eps 1e-8/4
    for expected in ("64x256", "hidden weight", "0.01562", "0.000625", "1.6", "2.5e-09", "m_in^-1 m_L^-1"):
        assert expected in line


def test_decays_timescale_is_printed_for_proxy_and_size(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """1 / (0.01 * 0.1) is 1,000 steps; the proxy's 320 tokens are 10 steps, the target's batch of 8 leaves 5."""
    text = " ".join(printed(capsys, recipe).split())
    said = "1,000 steps, 200 times the run; 1,000 steps, 100 times the run at the proxy"

    assert said in text
    assert "`parameterization.decay_timescale: held` keeps the share" in text
    assert said in " ".join(json.loads(printed(capsys, recipe, as_json=True))["notes"])
    Path(recipe).write_text(RECIPE.replace("{name: completep}", "{name: completep, decay_timescale: held}"))
    held = printed(capsys, recipe)
    assert "500 steps, 100 times the run (kept); 1,000 steps, 100 times the run at the proxy" in " ".join(held.split())
    # m_in is 4, m_L of writers 4, m_B is 2: 0.1 * 4 * 4 * 2
    assert " 3.2 " in next(line for line in held.splitlines() if line.startswith("blocks.*.down"))
    Path(recipe).write_text(RECIPE.replace("weight_decay: 0.1", "weight_decay: 0.0"))
    assert "averages over" not in printed(capsys, recipe)


def test_sources_and_notes_are_printed(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The paper, table and row of each rule, and what no rule covers."""
    text = printed(capsys, recipe)

    assert "CompleteP (arXiv 2505.01618), Table 1" in text
    assert "note: `completep` has no rule for batch (4 -> 8)" in text


def test_full_prints_every_layer(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--full writes repeated layers out."""
    text = printed(capsys, recipe, full=True)

    assert all(f"blocks.{layer}.up.weight" in text for layer in range(8))


def test_json_has_the_whole_plan(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints sizes, base values and every group."""
    data = json.loads(printed(capsys, recipe, as_json=True, width=32, depth=2))

    assert data["size"] == {"width": 32, "depth": 2, "batch_size": 8, "tokens": 320}
    assert data["parameterization"] == "completep(alpha=1)"
    assert sum(row["count"] for row in data["parameters"]) == 19
    readout = data["parameters"][-1]
    assert (readout["pattern"], readout["learning_rate"]) == (r"readout\.weight", 0.005)
    assert readout["rules"]["learning_rate"] == "m_in^-1"


def test_impossible_widths_are_usage_errors(recipe: str) -> None:
    """A width that heads do not divide is refused."""
    with pytest.raises(UsageError, match="head_dim"):
        plan_command(recipe, 36, None, False, False)


@pytest.mark.parametrize("change", [{"width": 0}, {"depth": -1}, {"batch_size": 0}, {"tokens": 0}])
def test_sizes_start_at_one(recipe: str, change: dict[str, int]) -> None:
    """A zero is not taken for "use the default"."""
    options = {"width": None, "depth": None} | change

    with pytest.raises(UsageError, match=">= 1"):
        load_recipe(recipe).recipe.target_size(**options)


def test_markdown_is_a_table(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--markdown prints a heading, one line per group and the sources."""
    lines = printed(capsys, recipe, as_markdown=True).splitlines()
    table = [line for line in lines if line.startswith("|")]

    assert len(table) == 2 + 11
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert any(line.startswith("1. ") for line in lines)
    assert any("`blocks.*.down.weight` | 8 | 64 x 256" in line for line in table)


def test_json_and_markdown_exclude_each_other(recipe: str) -> None:
    """Two forms at once are a usage error."""
    with pytest.raises(UsageError, match="only one"):
        plan_command(recipe, None, None, False, True, as_markdown=True)


def test_a_gauge_says_what_stays_in_forward(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In Table 8's form the readout is divided by m_N = 4 in `forward`, and each residual branch by m_L = 4."""
    data = json.loads(printed(capsys, recipe, as_json=True, gauge="multipliers"))
    multipliers = {row["pattern"]: row["multiplier"] for row in data["parameters"] if row["multiplier"] != 1}

    assert multipliers == {
        r"blocks\.\d+\.attention_out\.weight": 0.25,
        r"blocks\.\d+\.down\.weight": 0.25,
        r"readout\.weight": 0.25,
    }
    assert " forward " in printed(capsys, recipe, gauge="multipliers").splitlines()[3]


def test_unknown_gauges_are_refused(recipe: str) -> None:
    """The error lists the gauges there are."""
    with pytest.raises(UsageError, match="plain, multipliers"):
        plan_command(recipe, None, None, False, False, gauge="metric")


def test_diff_shows_what_changes(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From mup to CompleteP: residual writers absorb 1/m_L = 1/4, eps of blocks falls by 1/m_L, nothing else."""
    data = json.loads(printed(capsys, recipe, as_json=True, diff=("mup", "completep")))
    ratios = {
        change["name"]: {name: values["ratio"] for name, values in change["quantities"].items()}
        for change in data["changes"]
    }

    writer = {"init_std": 0.25, "learning_rate": 0.25, "weight_decay": 4.0}
    assert (data["before"], data["after"], data["unchanged"]) == ("mup", "completep(alpha=1)", 3)
    assert ratios == {
        **{f"blocks.*.{name}.weight": writer for name in ("attention_out", "down")},
        **{f"blocks.*.{name}.weight": {"eps": 0.25} for name in ("attention_norm", "q", "k", "v", "mlp_norm", "up")},
    }


def test_diff_as_text_and_markdown(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Both print old and new value with their ratio, and how many parameters do not change."""
    for options in ({}, {"as_markdown": True}):
        text = printed(capsys, recipe, diff=("mup", "completep"), **options)
        line = next(line for line in text.splitlines() if "blocks.*.down.weight" in line)
        assert "0.0025 -> 0.000625 (x0.25)" in line
        assert "3 parameters do not change" in text


def test_diff_of_equal_plans(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing changes between a parameterization and itself."""
    text = printed(capsys, recipe, diff=("mup", "mup"))

    assert "67 parameters do not change" in text  # 8 blocks of 8, embedding, final norm, readout
    assert "->" not in text.partition("\n")[2]


def test_diff_needs_known_names(recipe: str) -> None:
    """A parameterization that does not exist is named."""
    with pytest.raises(UsageError, match="parameterization must be one of"):
        plan_command(recipe, None, None, False, False, diff=("mup", "nup"))


def test_a_deep_model_prints_a_page(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """126 layers are as many lines as 8; with --full there are over a thousand."""
    assert len(printed(capsys, recipe, depth=126).splitlines()) < 60
    assert len(printed(capsys, recipe, depth=126, full=True).splitlines()) > 126 * 8

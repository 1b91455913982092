"""The record of nanoGPT-mup against what its own code returned (benchmarks/nanogpt_mup_golden.py wrote it down)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hptransfer.handover.nanogpt_mup import COMPLETEP, COMPLETEP_DEFAULTS, DEFAULTS, MASTER, Branch, applied, factor_of

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "nanogpt_mup.json").read_text())
BRANCHES = {"master": MASTER, "completep": COMPLETEP}
CASES = [(name, number) for name, branch in GOLDEN["branches"].items() for number in range(len(branch["cases"]))]


def configured(branch: Branch, case: dict[str, Any]) -> dict[str, Any]:
    """A case over the defaults."""
    return {**DEFAULTS, **(COMPLETEP_DEFAULTS if branch is COMPLETEP else {}), **case["config"]}


@pytest.mark.parametrize("name", list(BRANCHES))
def test_the_defaults_and_commits_are_the_codes(name: str) -> None:
    """What `train.py` sets before a configuration is read, whole."""
    branch = BRANCHES[name]

    assert GOLDEN["branches"][name]["commit"].startswith(branch.commit)
    assert GOLDEN["branches"][name]["defaults"] == {**DEFAULTS, **(COMPLETEP_DEFAULTS if branch is COMPLETEP else {})}


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_parameter_is_as_its_code_has_it(name: str, number: int) -> None:
    """Std, rate, decay, eps and factor of `forward`, to 1e-12; attention is the reader's, so queries have none here."""
    branch, case = BRANCHES[name], GOLDEN["branches"][name]["cases"][number]
    found = {
        row.name: [row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier]
        for row in applied(configured(branch, case), branch)
    }

    assert list(found) == list(dict.fromkeys(found))
    assert set(found) == set(case["rows"])
    for parameter, expected in case["rows"].items():
        assert (found[parameter][0] is None) == (expected[0] is None), parameter
        last = 4 if "c_attn.weight" in parameter else 5
        numbers = [[value or 0.0 for value in row[:last]] for row in (found[parameter], expected)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-12, abs=0.0), parameter


@pytest.mark.parametrize(("name", "number"), CASES)
def test_the_schedule_is_its_codes(name: str, number: int) -> None:
    """`get_lr` over the peak at some steps, those beyond the end too."""
    branch, case = BRANCHES[name], GOLDEN["branches"][name]["cases"][number]
    config = configured(branch, case)

    for step, expected in case["factors"].items():
        assert factor_of(config, int(step)) == pytest.approx(expected, rel=1e-12, abs=1e-15)

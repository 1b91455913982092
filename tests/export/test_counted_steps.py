"""How a framework counts steps is said in one sentence: by the header, by the page, and by `verify --export`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.base import EXPORTERS
from hptransfer.handover.counting import A_STEP_LATE, DECAY_EARLY, TWO_STEPS_LATE
from hptransfer.report.exported import describe_verification
from hptransfer.scaling.verify_export import verify_export
from tests.support.exported import llama_target, round_trip, write_export
from tests.support.scheduled_formats import FORMATS, target

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:'pin_memory' argument is set as true:UserWarning",
)
SAID = {
    "huggingface": A_STEP_LATE,
    "megatron": A_STEP_LATE,
    "levanter": A_STEP_LATE,
    "lm-engine": A_STEP_LATE,
    "cerebras": A_STEP_LATE,
    "nanogpt-mup": A_STEP_LATE,
    "deepspeed": TWO_STEPS_LATE,
    "automodel": DECAY_EARLY,
}
DOCS = Path(__file__).parents[2] / "docs"


def header_of(folder: Path) -> str:
    """The comments of the first file that has any, on one line."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.is_file())
    text = next(each for each in texts if each.startswith("# Written by hptransfer"))
    return " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_sentence_is_said_everywhere(name: str, tmp_path: Path) -> None:
    """The header, the page and the line AS PLANNED have it; formats that count as a plan does have none."""
    of = target(name)
    printed = describe_verification(round_trip(tmp_path, name, of))
    header, page = header_of(tmp_path / "export" / name), (DOCS / f"export-{name}.md").read_text(encoding="utf-8")
    said = SAID.get(name)

    assert printed.startswith("AS PLANNED: ")
    if said is None:
        assert "steps as the framework counts them" not in printed
        assert "counts them" not in header
    else:
        assert f"steps as the framework counts them: {said}" in printed.splitlines()[0]
        assert f"counts them: {said}." in header
        assert said in " ".join(page.split())


def test_every_format_has_a_page_that_says_so_or_counts_as_a_plan() -> None:
    """No exporter counts otherwise without being among those above."""
    of = _long()
    found: dict[str, Any] = {name: EXPORTERS.look_up(name) for name in EXPORTERS.names}
    counted = {name for name, each in found.items() if hasattr(each, "about") and each.about.counted(of) is not None}

    assert counted == set(SAID)


def _long() -> TargetFile:
    made = llama_target()
    assert made.training is not None
    changes = {"steps": 1000, "schedule": "cosine", "warmup": 0.1, "floor": 0.1}
    return made.model_copy(update={"training": made.training.model_copy(update=changes)})


MISTAKES = {
    "a step late": "        return step / WARMUP\n",
    "within the factors of the steps beside it": "        return ((step + 1) ^ 1) / WARMUP\n",
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_schedule_of_ones_own_may_not_be_about_right(mistake: str, tmp_path: Path) -> None:
    """A factor that lies between those of the steps before and behind is another, and the line names the step."""
    edits = {"hptransfer_groups.py": ("        return (step + 1) / WARMUP\n", MISTAKES[mistake])}
    found = round_trip(tmp_path, "torch", target("torch"), edits)
    first = describe_verification(found).splitlines()[0]

    assert "of their peaks, planned" in str(found.schedule)
    assert first.startswith("DIFFERS: ")
    assert first.endswith(" parameters, the schedule differs")


def test_a_zigzag_is_found(tmp_path: Path) -> None:
    """Ten steps of a linear decay, each within the plan's factors a step before and behind."""
    made = target("torch", "linear")
    assert made.training is not None
    changes = {"steps": 10, "warmup": 0.0, "floor": 0.0}
    made = made.model_copy(update={"training": made.training.model_copy(update=changes)})
    shares = [1, 0.8, 0.9, 0.6, 0.7, 0.4, 0.5, 0.2, 0.3, 0.1]
    edit = {
        "hptransfer_groups.py": ("def factor(step):  # linear\n", f"def factor(step):\n    return {shares}[step]\n")
    }

    assert "planned" in str(round_trip(tmp_path, "torch", made, edit).schedule)


def test_one_digest_in_all_formats(tmp_path: Path) -> None:
    """Headers of every gauge, export.json's own and what is printed; another rate has another."""
    of = llama_target("mup")
    digests = set()
    for name in ("torch", "yaml", "megatron", "bsh"):
        if name == "bsh" and importlib.util.find_spec("mup") is None:
            continue
        found = round_trip(tmp_path / name, name, of)
        digest = found.plan_sha256[:16]
        digests.add(digest)
        assert f"which was {digest}:" in header_of(tmp_path / name / "export" / name)
        assert f"plan: sha256 {digest}, of rows, hyperparameters, sizes and schedule" in describe_verification(found)
        assert f'"plan_sha256": "{digest}' in (tmp_path / name / "export" / name / "export.json").read_text()
        assert not found.plan_changed

    assert len(digests) == 1
    other = round_trip(tmp_path / "other", "yaml", llama_target("mup", learning_rate=0.02))
    assert other.plan_sha256[:16] not in digests


@pytest.mark.parametrize("section", ["groups", "parameters"])
def test_a_rate_in_one_of_yamls_two_sections_is_named(section: str, tmp_path: Path) -> None:
    """With the planned value and the cause, as in other formats, and that the sections do not say the same."""
    of = llama_target("mup")
    path = write_export(tmp_path, "yaml", of) / "plan.yaml"
    text = path.read_text(encoding="utf-8")
    at = text.index(f"\n{section}:")
    old = "learning_rate: 0.003333333333333333\n"
    assert old in text[at:]
    path.write_text(text[:at] + text[at:].replace(old, "learning_rate: 0.01\n", 1), encoding="utf-8")
    printed = describe_verification(verify_export(path))
    assert "learning_rate 0.01, planned 0.00333333333333: not scaled" in printed
    assert "`groups` and `parameters` of plan.yaml do not say the same of " in printed

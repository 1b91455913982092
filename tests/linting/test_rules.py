from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import Finding
from hptransfer.linting.validate import validate
from tests.support.recipe_texts import MLP, edited, load_text


def warnings(folder: Path, text: str) -> tuple[Finding, ...]:
    """What weakens the recipe in `text`, which is valid."""
    found = validate(str(load_text(folder, text).path))
    assert found.errors == ()
    return found.warnings


def test_a_sound_recipe_needs_none(tmp_path: Path) -> None:
    """Negative control."""
    assert warnings(tmp_path, MLP) == ()


RATES = "\n    ".join(
    f"{part}_learning_rate: {{low: 0.1, high: 10}}" for part in ("embedding", "input", "hidden", "readout")
)


@pytest.mark.parametrize(
    ("change", "code", "line", "received"),
    [
        (("[64, 128, 256, 512]", "[64, 128, 256]"), "advice/short-ladder", 9, "64 to 256, a factor of 4"),
        (("512]", "512]\n  depths: [2, 4]"), "advice/short-ladder", 10, "2 and 4"),
        (("tune:", "check: {seeds: 1}\ntune:"), "advice/single-seed", 11, "1"),
        (("steps: 100", "steps: 100\n  momentum: 0.5"), "advice/no-effect", 6, "0.5"),
        (("steps: 100", "steps: 100\n  optimizer: sgd\n  eps: 1e-6"), "advice/no-effect", 7, "1e-06"),
        (
            ("    learning_rate", f"    {RATES}\n    learning_rate"),
            "advice/redundant",
            15,
            "embedding_learning_rate, hidden_learning_rate, input_learning_rate, learning_rate, readout_learning_rate",
        ),
    ],
)
def test_weak_settings(tmp_path: Path, change: tuple[str, str], code: str, line: int, received: str) -> None:
    """Each setting that weakens the evidence is one warning at its line."""
    (found,) = warnings(tmp_path, edited(MLP, change))

    assert found.code == code
    assert found.place is not None
    assert found.place.line == line
    assert found.received == received


def test_small_base(tmp_path: Path) -> None:
    """A base below width 64 misleads."""
    text = edited(MLP, ("width: 64", "width: 32"), ("[64,", "[32, 64,"))

    (found,) = warnings(tmp_path, text)

    assert found.code == "advice/small-base"
    assert found.received == "32"

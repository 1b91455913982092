"""Every built-in diagnostic keeps the promises of `hptransfer.testing.diagnostics`, and so does one from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.diagnostics.base import DIAGNOSTICS
from hptransfer.errors import RecipeError
from hptransfer.recipe.schema import Recipe
from hptransfer.testing.diagnostics import DiagnosticConformance
from tests.plugin.hptransfer_lab.diagnostic import DIAGNOSTIC
from tests.support.recipe_texts import MLP, load_text


class TestCoordinate(DiagnosticConformance):
    """The coordinate check."""

    name = "coordinate"


class TestCollapse(DiagnosticConformance):
    """Loss curves of the widths, whose conditions hold at equal tokens per parameter."""

    name = "collapse"

    def recipe(self) -> Recipe:
        """The default, each size trained for 20 tokens per parameter."""
        usual = super().recipe()
        counts = {"w16-d2": 64, "w24-d2": 96, "w32-d2": 128, "w16-d3": 64, "w16-d4": 64, "w64-d4": 512}
        training = usual.training.model_copy(update={"steps": None, "tokens_per_parameter": 20.0})
        sizes = usual.sizes.model_copy(update={"parameters": counts})
        return usual.model_copy(update={"training": training, "sizes": sizes})


class TestInteractions(DiagnosticConformance):
    """Pairs of searched hyperparameters."""

    name = "interactions"


class TestLinearization(DiagnosticConformance):
    """Distance of blocks from being linear."""

    name = "linearization"


class TestNoiseScale(DiagnosticConformance):
    """The gradient noise scale."""

    name = "noise-scale"


class TestSharpness(DiagnosticConformance):
    """The Hessian's top eigenvalue."""

    name = "sharpness"


class TestOneOfOnesOwn(DiagnosticConformance):
    """A diagnostic that is no part of the package."""

    name = "tests.plugin.hptransfer_lab.diagnostic:DIAGNOSTIC"


def test_every_built_in_diagnostic_has_its_suite() -> None:
    """A module that is added to the folder must be added here."""
    suites = {suite.name for suite in DiagnosticConformance.__subclasses__()}

    assert set(DIAGNOSTICS.built_in) <= suites


@pytest.mark.parametrize("name", DIAGNOSTICS.built_in)
def test_what_every_check_makes_needs_no_further_training(name: str) -> None:
    """Only the coordinate check, a few steps, is measured unasked."""
    diagnostic = DIAGNOSTICS.look_up(name)

    assert diagnostic.always == (name in ("coordinate", "collapse", "interactions"))


def test_an_installed_package_adds_a_diagnostic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group makes a name that recipes accept like a built-in one."""
    installed = tmp_path / "site" / "own_plugin-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[hptransfer.diagnostics]\nwidth-sum = tests.plugin.hptransfer_lab.diagnostic:DIAGNOSTIC\n"
    )
    text = f"{MLP}\ncheck: {{diagnostics: [width-sum]}}\n"
    with pytest.raises(RecipeError, match="must be one of"):
        load_text(tmp_path, text)
    monkeypatch.syspath_prepend(tmp_path / "site")

    assert load_text(tmp_path, text).recipe.check.diagnostics == ("width-sum",)
    assert DIAGNOSTICS.look_up("width-sum") is DIAGNOSTIC

"""Losses: the built-in one and a user's own pass the suite; a user's own trains a trial."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hptransfer.errors import RecipeError, UsageError
from hptransfer.testing.losses import LossConformance
from hptransfer.training.losses.base import LOSSES, NO_UNIT, find_loss
from hptransfer.trials.spec import TrialSpec
from tests.support import identities
from tests.support.recipe_texts import MLP, edited, load_text

OWN = "tests.support.own_losses:brier"
BITS = "tests.plugin.hptransfer_lab.loss:LOSS"
DATA = "tests.plugin.hptransfer_lab.data:SOURCE"

for _name in (*LOSSES.built_in, OWN, BITS):
    _class = f"Test_{_name.rpartition(':')[2].replace('-', '_')}"
    globals()[_class] = type(_class, (LossConformance,), {"name": _name})
del LossConformance


def with_loss(loss: str | None) -> str:
    """A recipe's text that names this loss, or none."""
    return edited(MLP, ("  steps: 100\n", f"  steps: 100\n  loss: {loss}\n" if loss else "  steps: 100\n"))


def trained(tmp_path: Path, loss: str | None) -> dict[str, object]:
    """What a worker answers for one trial of a recipe with this loss."""
    recipe = load_text(tmp_path, with_loss(loss)).recipe
    size = recipe.size(16, 2, tokens=64 * 20)
    answer: dict[str, object] = json.loads(json.dumps(identities.trained(TrialSpec(recipe, tmp_path, size, {}, 0))))
    return answer


def test_a_users_own_loss_trains_a_trial(tmp_path: Path) -> None:
    """Named by module and function in the recipe: Brier's score of the uniform prediction is 255/256, and it falls."""
    answer = trained(tmp_path, OWN)

    assert answer["state"] == "complete"
    assert float(str(answer["loss"])) < 255 / 256


def test_an_installed_package_adds_loss_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points, as pip leaves them: both names in a recipe, from validation to the trial."""
    installed = tmp_path / "site" / "own_plugin-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        f"[hptransfer.losses]\nbrier = {OWN}\n[hptransfer.data_sources]\nrepeated = {DATA}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "more.txt").write_text("")
    data = ("{kind: stdlib-text}", "{kind: repeated, arguments: {word: 'word ', file: more.txt}}")
    recipe = load_text(tmp_path, edited(with_loss("brier"), data)).recipe
    size = recipe.size(16, 2, tokens=64 * 20)

    answer = identities.trained(TrialSpec(recipe, tmp_path, size, {}, 0))

    assert answer["state"] == "complete"
    assert answer["loss"] < 255 / 256


def test_a_loss_in_bits_is_that_in_nats_by_log_2(tmp_path: Path) -> None:
    """Adam's steps do not see a factor on the loss (but for eps): the same run, in another unit."""
    bits, nats = (float(str(trained(tmp_path, loss)["loss"])) for loss in (BITS, None))

    assert bits == pytest.approx(nats / math.log(2), rel=1e-3)


def test_a_function_without_a_unit_has_the_losss_own() -> None:
    """Nothing is called nats that may be something else."""
    assert find_loss(OWN).unit == NO_UNIT
    assert find_loss(BITS).unit == "bits"
    assert find_loss("next-token").unit == "nats"


def test_what_is_no_function_is_refused() -> None:
    """With what it is."""
    with pytest.raises(UsageError, match="must be a function") as caught:
        find_loss("tests.support.own_losses:not_a_loss")

    assert caught.value.findings[0].received == "tests.support.own_losses:not_a_loss: str"


def test_naming_the_default_changes_no_recipe_hash(tmp_path: Path) -> None:
    """Evidence of before there was a choice stays valid; another loss is another recipe."""
    unsaid, said, other = (load_text(tmp_path, with_loss(loss)).hash for loss in (None, "next-token", OWN))

    assert unsaid == said != other


@pytest.mark.parametrize("loss", ["next-tokens", "''"])
def test_an_unknown_loss_is_a_fault_of_the_recipe(tmp_path: Path, loss: str) -> None:
    """At its place, with the names there are; a path is taken as it is, and imported by commands that train."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, with_loss(loss))

    (finding,) = caught.value.findings
    assert (
        finding.rule
        == "`training.loss` must be one of `cross-entropy`, `masked-token`, `mse`, `next-token`, or `module:attribute`"
    )
    assert finding.place is not None
    assert (finding.place.line, finding.place.column) == (6, 9)
    assert load_text(tmp_path, with_loss("nowhere.to_be:found")).recipe.training.loss == "nowhere.to_be:found"

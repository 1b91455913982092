"""A recipe with a run folder as `tune` and `check` leave it, without training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from hptransfer.commands.scale import scale_command
from hptransfer.engine.identity import identity_of_recipe
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.model_sections import GptModel
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.trial import Trial
from tests.support.transfer_files import ladder_of, transfer_text
from tests.support.tuned_results import tuned_result

if TYPE_CHECKING:
    import torch

RECIPE = """\
name: tiny
model: {kind: gpt, context: 8, head_dim: 8}
data: {kind: stdlib-text}
training: {steps: 10, batch_size: 4, learning_rate: 0.01, weight_decay: 0.1}
parameterization: {name: completep}
sizes:
  base: {width: 16, depth: 2}
  widths: [16, 32]
  target: {width: 64, depth: 8, batch_size: 8, accept: [depth, batch_size]}
tune:
  space:
    learning_rate: {low: 1.0e-3, high: 1.0e-1}
"""


@cache
def identity_of_tiny() -> str:
    """The digest that evidence for the recipe carries, computed once per process."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "tiny.yaml")
        path.write_text(RECIPE)
        return identity_of_recipe(load_recipe(path), RunFolder(Path(folder, "runs")))


class Folder:
    """A recipe with a run folder that `tune` and `check` have filled."""

    def __init__(self, path: Path) -> None:
        self.recipe, self.runs = path / "tiny.yaml", path / "runs"
        self.recipe.write_text(RECIPE)
        self.hash = load_recipe(self.recipe).hash
        (self.runs / "tiny").mkdir(parents=True)
        self.identity = identity_of_tiny()
        self.write_tuned()
        self.write_transfer()

    def write_tuned(self, **changes: object) -> None:
        """What tune writes."""
        tuned_result(**{"recipe_hash": self.hash, "identity": self.identity} | changes).write(
            self.runs / "tiny" / "tuned.yaml"
        )

    def write_transfer(self, trials: Sequence[Trial] | None = None, **changes: object) -> None:
        """What check writes of a ladder, with changes to single keys."""
        said = {"recipe_hash": self.hash, "identity": self.identity, "verdict": "TRANSFERS"}
        said |= {"sentence": "learning_rate carries over."}
        text = transfer_text(trials or ladder_of((16, 32)), **said | changes)
        (self.runs / "tiny" / "transfer.json").write_text(text)

    def scale(self, **options: object) -> int:
        """Run the command."""
        names = ("width", "depth", "batch_size", "tokens", "output")
        arguments = dict.fromkeys(names) | {"force": False, "as_json": False} | options
        return scale_command(str(self.recipe), self.runs, **arguments)  # type: ignore[arg-type]  # options of one test

    @property
    def target(self) -> Path:
        """The file the command writes."""
        return self.runs / "tiny" / "target.yaml"

    def model(self) -> torch.nn.Module:
        """The recipe's model at the target."""
        from hptransfer.models.build import build_model

        return build_model(GptModel(kind="gpt", context=8, head_dim=8), 64, 8)

    def document(self) -> dict[str, Any]:
        """The file's content."""
        content: dict[str, Any] = yaml.safe_load(self.target.read_text())
        return content

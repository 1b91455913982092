"""A recipe with a run folder as `tune` and `check` leave it, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hptransfer.commands.scale import scale_command
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import GptModel

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
  target: {width: 64, depth: 8, batch_size: 8}
tune:
  space:
    learning_rate: {low: 1.0e-3, high: 1.0e-1}
"""


class Folder:
    """A recipe with a run folder that `tune` and `check` have filled."""

    def __init__(self, path: Path) -> None:
        self.recipe, self.runs = path / "tiny.yaml", path / "runs"
        self.recipe.write_text(RECIPE)
        self.hash = load_recipe(self.recipe).hash
        (self.runs / "tiny").mkdir(parents=True)
        self.write_tuned()
        self.write_transfer()

    def write_tuned(self, **changes: object) -> None:
        """What tune writes."""
        tuned = {
            "recipe": "tiny",
            "recipe_hash": self.hash,
            "size": {"width": 16, "depth": 2},
            "hyperparameters": {"learning_rate": 0.03125},
            "intervals": {"learning_rate": [0.02, 0.05]},
            "provenance": {"data": "f" * 64, "torch": "2.13.0"},
        }
        (self.runs / "tiny" / "tuned.yaml").write_text(yaml.safe_dump(tuned | changes))

    def write_transfer(self, **changes: object) -> None:
        """What check writes."""
        transfer = {
            "recipe": "tiny",
            "recipe_hash": self.hash,
            "verdict": "TRANSFERS",
            "sentence": "learning_rate carries over.",
            "axes": [{"axis": "width", "sizes": [{"value": 16, "optimum": 1}], "drift": {"estimate": 0.01}}],
            "checked": {"widths": [16, 32], "depths": []},
        }
        (self.runs / "tiny" / "transfer.json").write_text(json.dumps(transfer | changes))

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

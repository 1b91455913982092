"""360 recipes: 6 models, 9 parameterizations, 2 optimizers, and options; which of them a plan can follow is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hptransfer.parameterization.tables import PARAMETERIZATIONS
from hptransfer.recipe.rule_text import laid
from tests.support.recipe_texts import MLP

MODELS = {
    "mlp": "{kind: mlp}",
    "gpt": "{kind: gpt, head_dim: 16}",
    "gpt2": "{kind: huggingface, config: gpt2, settings: {n_embd: 64, n_layer: 2, n_head: 4, n_positions: 64, "
    "vocab_size: 256, bos_token_id: 0, eos_token_id: 0}}",
    "llama": "{kind: huggingface, config: llama, settings: {hidden_size: 64, intermediate_size: 128, "
    "num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 4, head_dim: 16, vocab_size: 256}}",
    "mixtral": "{kind: huggingface, config: mixtral, settings: {hidden_size: 64, intermediate_size: 128, "
    "num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 4, head_dim: 16, vocab_size: 256, "
    "num_local_experts: 4}}",
    "own": "{kind: factory, factory: 'tests.support.own_models:blocks', width_argument: channels, "
    "depth_argument: layers, context: 16}",
}
OPTIMIZERS = ("adamw", "muon")
#: options that every parameterization with every optimizer is given
EVERYWHERE = ("", "init: own", "gauge: multipliers")
#: (parameterization, optimizer, options) beside them
FURTHER = (
    ("completep", "adamw", "alpha: 0.5"),
    ("mup", "adamw", "alpha: 0.5"),
    ("mup", "muon", "muon_scale: match_rms_adamw"),
    ("mup", "adamw", "muon_scale: original"),
    ("mup", "muon", "eps: gradient, betas: half-life"),
    ("complete-d-p", "adamw", "weight_decay: inverse, decay_timescale: held"),
)


@dataclass(frozen=True)
class Combination:
    """One of the 360.

    Attributes:
        name: of the recipe, all of what follows.
        model: the name of one of `MODELS`.
        parameterization: name in the tables.
        optimizer: name of the optimizer.
        options: of the recipe's section, as they are written.
    """

    name: str
    model: str
    parameterization: str
    optimizer: str
    options: str

    @property
    def text(self) -> str:
        """The recipe."""
        options = f", {self.options}" if self.options else ""
        return laid(
            MLP,
            f"name: {self.name}\n"
            f"model: {MODELS[self.model]}\n"
            f"training: {{steps: 100, optimizer: {self.optimizer}, weight_decay: 0.1}}\n"
            f"parameterization: {{name: {self.parameterization}{options}}}\n",
        )


def combinations() -> Iterator[Combination]:
    """All 360, model by model."""
    for model in MODELS:
        grid = [(name, by, asked) for name in PARAMETERIZATIONS for by in OPTIMIZERS for asked in EVERYWHERE]
        for number, (parameterization, optimizer, options) in enumerate((*grid, *FURTHER)):
            yield Combination(f"{model}-{number}", model, parameterization, optimizer, options)

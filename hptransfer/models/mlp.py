"""The smallest honest proxy: an MLP that predicts the next byte from a window of bytes.

Plain PyTorch: every multiplier of a parameterization lives in init and learning rates, none in `forward`.

Tensor names carry their shape: B batch, C context window, E byte-embedding size, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

#: of bytes
VOCABULARY = 256

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "tanh": functional.tanh,
}


class Mlp(nn.Module):
    """Embed each byte of the window, concatenate, `depth` hidden layers (linear, norm, activation), read out logits.

    Args:
        width: D, units of every hidden layer, at least 1.
        depth: number of hidden layers, the input layer included, at least 1.
        context: C, number of bytes that the model sees, at least 1.
        embedding: E, numbers per byte; it stays fixed while D grows.
        activation: a key of `ACTIVATIONS`.
        norm: "layernorm" normalises pre-activations, "none" does not.
        vocabulary: V, number of tokens; the default is that of bytes.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        context: int,
        embedding: int,
        activation: str = "relu",
        norm: str = "layernorm",
        vocabulary: int = VOCABULARY,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.input = nn.Linear(context * embedding, width)
        self.input_norm = _norm(norm, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.hidden_norms = nn.ModuleList(_norm(norm, width) for _ in range(depth - 1))
        self.readout = nn.Linear(width, vocabulary)
        self.activation = ACTIVATIONS[activation]

    def forward(self, context_BxC: Tensor) -> Tensor:
        """Logits of the byte after the window.

        Args:
            context_BxC: integers in [0, vocabulary).

        Returns:
            logits_BxV.
        """
        x_BxCE = self.embedding(context_BxC).flatten(1)
        h_BxD = self.activation(self.input_norm(self.input(x_BxCE)))
        for linear, norm in zip(self.hidden, self.hidden_norms, strict=True):
            h_BxD = self.activation(norm(linear(h_BxD)))
        logits_BxV: Tensor = self.readout(h_BxD)
        return logits_BxV


def _norm(norm: str, width: int) -> nn.Module:
    return nn.LayerNorm(width) if norm == "layernorm" else nn.Identity()

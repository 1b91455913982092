"""AdamW with independent updates settles at a known size (O10): through the loop, with planned rates and decays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.sizes import Size
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, training_losses
from tests.support.mistakes import VALUES, mlp
from tests.support.reading import read_module

STEPS = 400


class Signs(nn.Module):
    """One logit is a sum of weights with fresh random signs: without memory Adam's update is an independent +-1."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(20_000))
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next byte; byte 0, whose logit it is, never comes."""
        signs = torch.randint(0, 2, self.w.shape, generator=self.generator) * 2.0 - 1.0
        first = 1e-3 * (self.w * signs).sum()
        return torch.cat([first[None], torch.zeros(255)]).expand(len(tokens), -1)


def planned(width: int, options: Options) -> tuple[float, float]:
    """Learning rate and weight decay that muP gives a hidden weight."""
    base, size = Size(64, 3, 16, 1600), Size(width, 3, 16, 1600)
    values = VALUES | {"learning_rate": 0.02, "weight_decay": 0.5}
    parameters = read_module(mlp, base, size)
    rows = plan(Parameterization("mup"), base, size, parameters, values, optimizer="adamw", options=options).rows
    row = next(row for row in rows if row.parameter.name == "hidden.1.weight")
    return row.learning_rate, row.weight_decay


def settled(rate: float, decay: float, corpus: Corpus) -> float:
    """RMS of the weights after training by the package's loop."""
    module = Signs()
    groups = [{"params": [module.w], "lr": rate, "weight_decay": decay, "eps": 1e-12}]
    settings = TrainingSettings(STEPS, 2, 4, beta1=0.0, beta2=0.0, schedule="constant", warmup=0.0)
    list(training_losses(module, groups, corpus, settings, 0))
    return module.w.detach().double().square().mean().sqrt().item()


def exact(rate: float, decay: float) -> float:
    """Sqrt(rate / (decay (2 - rate decay))), and what a start at zero leaves of it after STEPS."""
    left = (1 - rate * decay) ** (2 * STEPS)
    return math.sqrt(rate / (decay * (2 - rate * decay)) * (1 - left))


@pytest.mark.parametrize("width", [64, 256])
def test_weights_settle_where_theory_says(width: int, corpus: Corpus) -> None:
    """O10 at both widths of a plan with independent weight decay: within 1.5% of the exact size."""
    rate, decay = planned(width, Options())

    assert rate * decay == pytest.approx(0.01)
    assert settled(rate, decay, corpus) == pytest.approx(exact(rate, decay), rel=0.015)


def test_coupled_decay_would_settle_elsewhere(corpus: Corpus) -> None:
    """Negative control: decay applied to the gradient as in Adam's L2 form has no such equilibrium at this rate."""
    rate, decay = planned(64, Options())
    w = torch.zeros(20_000, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=rate, betas=(0.0, 0.0), eps=1e-12, weight_decay=decay)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        w.grad = 4e-6 * (torch.randint(0, 2, w.shape, generator=generator) * 2.0 - 1.0)
        optimizer.step()
    coupled = w.detach().square().mean().sqrt().item()

    assert abs(coupled / exact(rate, decay) - 1) > 0.5

"""Gradients at two batch sizes: a model whose noise scale is exact, and that measuring leaves training alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hptransfer.diagnostics.noise_scale import BatchPosition, judge_noise_scale
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, training_losses
from hptransfer.training.noise_scale import MOMENTS, measure_noise_scale
from tests.support.mistakes import CONTEXT, gpt


class Frequencies(nn.Module):
    """Logits that are one parameter each, whatever the input: cross-entropy has the gradient p - onehot(next byte)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(256))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next byte."""
        return self.w.expand(len(tokens), -1)


def exact(corpus: Corpus, context: int) -> float:
    """Tr S / |G|^2 at uniform p: S = Cov(onehot), so (1 - |f|^2) / |p - f|^2, f the frequencies of windows' ends."""
    frequencies = np.bincount(corpus.train[context:], minlength=256) / (len(corpus.train) - context)
    return float((1 - (frequencies**2).sum()) / ((1 / 256 - frequencies) ** 2).sum())


def test_the_noise_scale_of_frequencies_is_exact(corpus: Corpus) -> None:
    """Measured through the loop and judged over 30 seeds: the interval holds the exact value and is within 25% of it.

    The rate is too small to move p; with SGD and one rate both metrics agree.
    """
    settings = TrainingSettings(steps=2, batch_size=4, context=4, optimizer="sgd", momentum=0.0)
    runs = []
    for seed in range(30):
        module = Frequencies()
        groups = [{"params": [module.w], "lr": 1e-9, "weight_decay": 0.0}]
        runs.append(measure_noise_scale(module, groups, corpus, settings, seed))

    report = judge_noise_scale(runs, settings.batch_size)
    scale, truth = report.rows[-1].simple, exact(corpus, settings.context)

    assert scale.contains(truth)
    assert (scale.high - scale.low) / 2 < 0.25 * truth
    assert report.rows[-1].adapted.estimate == pytest.approx(scale.estimate, rel=1e-4)
    assert report.position is BatchPosition.BELOW


def test_it_is_measured_along_training_and_leaves_it_alone(corpus: Corpus) -> None:
    """After each of the moments; the weights end where a run without measurements ends, bit for bit."""
    settings = TrainingSettings(steps=8, batch_size=4, context=CONTEXT)
    ends = []
    for measured in (True, False):
        torch.manual_seed(0)
        module = gpt(32, 1)
        groups = [{"params": list(module.parameters()), "lr": 1e-3, "weight_decay": 0.0}]
        if measured:
            found = measure_noise_scale(module, groups, corpus, settings, 0)
            assert [moment["progress"] for moment in found["moments"]] == list(MOMENTS)
        else:
            list(training_losses(module, groups, corpus, settings, 0))
        ends.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))

    assert torch.equal(*ends)


def test_a_run_of_one_step_has_one_moment(corpus: Corpus) -> None:
    """Moments that fall on the same step are measured once."""
    module = gpt(32, 1)
    groups = [{"params": list(module.parameters()), "lr": 1e-3, "weight_decay": 0.0}]

    found = measure_noise_scale(module, groups, corpus, TrainingSettings(1, 4, CONTEXT), 0)

    assert len(found["moments"]) == 1


def test_training_that_blows_up_has_no_moments(corpus: Corpus) -> None:
    """Nothing to judge."""
    module = gpt(32, 1)
    groups = [{"params": list(module.parameters()), "lr": 1e30, "weight_decay": 0.0}]
    settings = TrainingSettings(8, 4, CONTEXT, optimizer="sgd")

    assert measure_noise_scale(module, groups, corpus, settings, 0)["moments"] == []

"""A probe leaves nothing behind, prints nothing, and says the same each time."""

from __future__ import annotations

import logging
import random
import time
import warnings

import numpy as np
import pytest  # noqa: TC002 -- fixtures are read at run time
import torch
from torch import nn

from hptransfer.probe.probing import probe
from hptransfer.probe.trace import trace
from tests.support import probed_models as models
from tests.support.probed_models import Bytes


def flags() -> tuple[object, ...]:
    """What a probe may change while it runs."""
    return (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.mkldnn.enabled,
        logging.root.manager.disable,
        list(warnings.filters),
    )


def test_no_global_state_is_touched(capsys: pytest.CaptureFixture[str]) -> None:
    """Generators of Python, numpy and torch, grad mode, default precision, flags, filters of warnings, output."""
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    before = flags()

    answer = probe(models.Loud, (64, 2))
    probe(models.Recurrent, (16, 1))
    probe(models.Broken, (16, 1))

    assert answer.unknown == ()
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert flags() == before
    assert capsys.readouterr() == ("", "")


def test_a_probe_says_the_same_whatever_was_drawn_before() -> None:
    """Its own seeds decide; findings compare as values."""
    torch.manual_seed(1)
    first = probe(lambda width, depth: models.Mixture(width, depth, models.Experts), (32, 2))
    torch.manual_seed(2)

    assert probe(lambda width, depth: models.Mixture(width, depth, models.Experts), (32, 2)) == first


def test_a_trace_leaves_no_hooks_and_changes_no_result() -> None:
    """What the model returns under the recorder is what it returns without, dropout aside."""
    model, tokens = Bytes(32, 2).eval(), torch.randint(0, models.VOCABULARY, (2, 7))
    hooks = [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()]
    before = model(tokens)
    recorded: list[torch.Tensor] = []
    handle = model.register_forward_hook(lambda _module, _args, output: recorded.append(output.clone()))

    trace(model, (tokens,), {})
    handle.remove()

    assert torch.equal(recorded[0], before)
    assert [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in model.modules()] == hooks


def test_dropout_of_any_form_is_inert() -> None:
    """Modules, the function, shares held by modules, a mask drawn by hand: no factor, and no entry is lost."""

    class Drops(nn.Module):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__()
            self.first, self.last, self.drop_path = nn.Linear(8, width), nn.Linear(width, 1), 0.5
            self.module, self.share = nn.Dropout(0.9), 0.1 + width / 1000

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.dropout(self.module(self.first(x)), self.share)
            keep = x.new_empty(len(x), 1).bernoulli_(1 - self.share) / (1 - self.share)
            answer: torch.Tensor = self.last(x * keep) * (2 - self.drop_path)
            return answer

    answer = probe(Drops, (64, 2))

    assert (answer.factors, answer.readouts, answer.unknown) == ((), ("last.weight",), ())


def test_a_probe_of_a_small_model_takes_well_under_a_second_of_work() -> None:
    """Time of this process, after the first one has loaded what is loaded once."""
    probe(Bytes, (64, 2))
    start = time.process_time()

    probe(lambda width, depth: Bytes(width, depth, heads=4, embed=width**0.5), (64, 2))

    assert time.process_time() - start < 1.0

"""Where the answer comes from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from hptransfer.probe.probing import probe
from tests.support import probed_models as models
from tests.support.probed_models import Bytes


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (Bytes, ("head.weight",)),
        (lambda width, depth: Bytes(width, depth, tied=True), ("tok.weight",)),
        (lambda width, depth: models.Mixture(width, depth, models.Experts), ("head.weight",)),  # {"logits", "hidden"}
        (models.Looped, ("head.weight",)),  # (logits, None)
        (models.Rotary, ("head",)),
        (models.ResNet, ("head.weight",)),
    ],
    ids=["decoder", "tied", "dict", "tuple", "raw", "resnet"],
)
def test_the_readout_is_the_last_weight(build: Callable[[int, int], nn.Module], names: tuple[str, ...]) -> None:
    """Whatever holds the answer; hidden states beside logits are none."""
    answer = probe(build, (64, 2))

    assert (answer.readouts, answer.product) == (names, None)


def test_a_sequential_mlp_reads_out_with_its_last_layer() -> None:
    """Names are numbers: the readout's is that of the base."""
    answer = probe(
        lambda width, depth: nn.Sequential(
            nn.Linear(16, width),
            nn.ReLU(),
            *(layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())),
            nn.Linear(width, 1),
        ),
        (64, 2),
    )

    assert (answer.readouts, answer.writers, answer.factors) == (("6.weight",), (), ())


def test_an_answer_that_is_a_product_is_named_with_its_growth() -> None:
    """A sum of as many independent terms as the width grows as its square root; biases beside it change nothing."""
    answer = probe(models.Factorized, (64, 2))

    assert answer.product is not None
    assert answer.product.code.startswith("probed_models.py:")
    assert answer.product_power == 0.5


def test_a_product_of_normed_towers_does_not_grow() -> None:
    """A cosine is a product, and its size is that of an angle; without the norms it grows."""
    cosine = probe(models.Cosine, (64, 2))
    plain = probe(lambda width, depth: models.Cosine(width, depth, normed=False), (64, 2))

    assert cosine.product is not None
    assert cosine.product_power is None
    assert plain.product_power == 0.5


def test_parameters_that_nothing_reads_are_named() -> None:
    """Adapters that are built and never called; an expert that no token chose is not among them."""

    class Idle(Bytes):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__(width, depth)
            for layer in self.layers:
                layer.idle = nn.Linear(width, 4, bias=False)

    many = probe(lambda width, depth: models.Mixture(width, depth, lambda width: models.Experts(width, 64)), (64, 2))

    assert probe(Idle, (64, 2)).unused == ("layers.0.idle.weight", "layers.1.idle.weight")
    assert many.unused == ()

"""A small input: given, or guessed; and what is said where none runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hptransfer.probe.probing import probe
from tests.support import probed_models as models
from tests.support.probed_models import Bytes


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (Bytes, "tokens: 2 x 16 integers"),
        (models.Rotary, "ids: 2 x 16 integers"),
        (models.ResNet, "x: 2 x 3 x 16 x 16 numbers"),
        (models.UNet, "image: 2 x 1 x 16 x 16 numbers"),
        (models.DiT, "x: 2 x 3 x 16 x 16 numbers, t: 2 numbers, y: 2 integers"),
        (models.Factorized, "user_ids: 2 integers, item_ids: 2 integers"),
        (models.MeanOfExperts, "x: 2 x 12 numbers"),
        (lambda width, depth: models.Encoder(width, depth, norm_first=True), "series: 2 x 16 x 10 numbers"),
    ],
    ids=["tokens", "raw table", "images", "one channel", "image, time, label", "two tables", "raw features", "series"],
)
def test_an_input_is_guessed_and_said(build: Callable[[int, int], nn.Module], said: str) -> None:
    """From the names of arguments and from what the first layers take."""
    answer = probe(build, (64, 2))

    assert answer.unknown == ()
    assert said in answer.example


def test_positions_stay_within_the_context() -> None:
    """A sequence is never longer than the context that the caller has."""
    assert "2 x 8 integers" in probe(Bytes, (64, 2), context=8).example


def test_layers_that_fix_the_side_of_an_image_are_met() -> None:
    """28 x 28 is tried too: a linear layer of 7 x 7 positions accepts nothing else."""

    class Digits(nn.Module):
        def __init__(self, width: int, depth: int) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, width, 4, 4), nn.Linear(49 * width, 10)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.last(self.first(x).relu().flatten(1))
            return answer

    assert "2 x 1 x 28 x 28" in probe(Digits, (16, 2)).example


class Denoiser(nn.Module):
    """Images of one channel, 8 x 8 and no other, a time and a class, in names that say the axes."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.patches, self.label = nn.Conv2d(1, width, 2, 2), nn.Embedding(10, width)
        self.time, self.positions = nn.Linear(1, width), nn.Parameter(torch.zeros(16, width))
        self.last = nn.Linear(width, 4)

    def forward(self, image_BxHxW: Tensor, time_B: Tensor, label_B: Tensor) -> Tensor:
        """Four numbers for each patch."""
        assert image_BxHxW.ndim == 3
        x_BxTxD = self.patches(image_BxHxW[:, None]).flatten(2).transpose(1, 2) + self.positions
        answer: Tensor = self.last(x_BxTxD + (self.time(time_B[:, None]) + self.label(label_B))[:, None])
        return answer


def test_arguments_that_their_names_say_are_changed_last() -> None:
    """So the side of the image and its missing channel are found before the guesses end."""
    answer = probe(Denoiser, (64, 2))

    assert answer.unknown == ()
    assert "image_BxHxW: 2 x 8 x 8 numbers, time_B: 2 numbers, label_B: 2 integers" in answer.example


class Odd(nn.Module):
    """Takes what no layer says: a dict of two, whose shapes depend on the width."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.last = nn.Linear(width, 1)

    def forward(self, pair: dict[str, Tensor]) -> Tensor:
        """One number for each row."""
        answer: Tensor = self.last(pair["left"] * pair["right"])
        return answer


@pytest.mark.parametrize(
    "example",
    [
        lambda width, depth: ({"left": torch.ones(2, width), "right": torch.rand(2, width)},),
        lambda width, depth: {"pair": {"left": torch.ones(2, width), "right": torch.rand(2, width)}},
    ],
    ids=["a tuple", "by name"],
)
def test_an_example_is_taken_as_it_is_given(example: object) -> None:
    """A function of width and depth, of a tuple of arguments or of a dict of them by name."""
    answer = probe(Odd, (64, 2), example=example)

    assert answer.unknown == ()
    assert answer.readouts == ("last.weight",)
    assert "model.example" in answer.example


def test_a_tensor_and_a_function_without_arguments_are_examples() -> None:
    """The same numbers at every size."""
    for example in (torch.zeros(3, 5, dtype=torch.long), lambda: torch.zeros(3, 5, dtype=torch.long)):
        assert probe(Bytes, (64, 2), example=example).readouts == ("head.weight",)


def test_a_model_that_does_not_run_is_unknown_with_the_user_s_line() -> None:
    """The innermost line that is the user's, the error, and what to write."""
    (said,) = probe(models.Broken, (64, 2)).unknown

    assert "probed_models.py:" in said
    assert "KeyError: 'a name that is not there'" in said
    assert "`model.example: module:function`" in said


def test_an_example_that_fails_is_said_to_be_the_example() -> None:
    """It is not replaced by a guess."""
    answer = probe(Bytes, (64, 2), example=torch.zeros(2, 5))

    (said,) = answer.unknown
    assert "`forward` did not run with `model.example`" in said
    assert answer.writers == ()


def test_what_the_base_told_is_kept_when_larger_models_fail() -> None:
    """Neither the wider nor the deeper model can be built: two sentences, and the readout is known."""
    answer = probe(lambda width, depth: models.Broken(width, depth, limit=64), (64, 2))

    assert answer.readouts == () if answer.example == "" else ("layer.weight",)
    assert [said.partition(" (")[0] for said in answer.unknown] == ["the wider model"]
    deeper = probe(lambda width, depth: models.Broken(width, depth, limit=64), (32, 4), wide=(64, 4))
    assert [said.partition(" (")[0] for said in deeper.unknown] == ["the deeper model"]
    assert deeper.readouts == ("layer.weight",)


def test_a_factory_that_raises_or_exits_is_unknown() -> None:
    """The user's code may raise anything, at any size."""

    def leave(width: int, depth: int) -> nn.Module:
        raise SystemExit(f"no model of width {width}")

    (said,) = probe(leave, (64, 2)).unknown

    assert said.startswith("the model could not be built at width 64, depth 2: ")
    assert "test_example.py:" in said

"""Models that other people have, and what a plan must say of them: each was once planned wrongly without a word."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan

VOCABULARY = 32
Make = Callable[[int, int], nn.Module]


class Block(nn.Module):
    """A branch with a norm in front."""

    def __init__(self, width: int, layer_scale: float | None = None, std: float | None = None) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        self.scale = None if layer_scale is None else nn.Parameter(torch.full((width,), layer_scale))
        if std is not None:
            nn.init.normal_(self.up.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """The stream with what the branch adds."""
        added = self.down(functional.gelu(self.up(self.norm(x))))
        out: Tensor = x + (added if self.scale is None else self.scale * added)
        return out


class Decoder(nn.Module):
    """Tokens through blocks to logits."""

    def __init__(self, width: int, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        self.runs = 0

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        x = self.table(tokens)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class Counting(Decoder):
    """Warms its logits up by the number of its runs."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits times a number that grows from run to run."""
        self.runs += 1
        return super().forward(tokens) * min(1.0, self.runs / 1000)


class Reverse(Decoder):
    """Looks up rows of the readout."""

    def __init__(self, width: int, blocks: Sequence[nn.Module]) -> None:
        super().__init__(width, blocks)
        del self.table

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        x = functional.embedding(tokens, self.head.weight)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class AutoEncoder(nn.Module):
    """One matrix reads in and, transposed, reads out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder, self.middle = nn.Linear(24, width, bias=False), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The input again."""
        return functional.linear(torch.relu(self.middle(torch.relu(self.encoder(x)))), self.encoder.weight.T)


class Towers(nn.Module):
    """Scores are products over the root of the width: flat at init, growing once both sides agree."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.users, self.items, self.width = nn.Linear(24, width), nn.Linear(12, width), width

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Users by items."""
        scores: Tensor = self.users(users) @ self.items(items).T / math.sqrt(self.width)
        return scores


def planned(make: Make, *, depths: tuple[int, int] = (2, 8), parameterization: str = "completep") -> AppliedPlan:
    """The plan from width 64 to 512."""
    return hptransfer.plan(
        make,
        base=(64, depths[0]),
        target=(512, depths[1]),
        parameterization=parameterization,
        hyperparameters={"learning_rate": 0.01},
    )


def said(make: Make, words: str, *, depths: tuple[int, int] = (2, 8), parameterization: str = "completep") -> bool:
    """Whether a note has these words."""
    plan = planned(make, depths=depths, parameterization=parameterization).plan
    return plan is not None and any(words in note for note in plan.notes)


def blocks(width: int, count: int) -> list[nn.Module]:
    """Plain ones."""
    return [Block(width) for _ in range(count)]


def test_a_model_that_counts_its_runs_has_no_factor_of_the_size() -> None:
    """The first run of each size is compared, so the readout keeps its rule: an eighth of the rate at 8 x the width."""
    plan = planned(lambda width, depth: Counting(width, blocks(width, depth)))
    (head,) = [row for row in plan.rows if row.parameter.name == "head.weight"]

    assert head.learning_rate == pytest.approx(0.01 / 8)
    assert not said(lambda width, depth: Counting(width, blocks(width, depth)), "`forward` multiplies")


def test_a_readout_whose_rows_are_looked_up_is_tied() -> None:
    """Whichever module holds the tensor; init and rate keep their base values, logits are multiplied (Table 8)."""
    plan = planned(lambda width, depth: Reverse(width, blocks(width, depth)), parameterization="mup", depths=(2, 2))
    (head,) = [row for row in plan.rows if row.parameter.name == "head.weight"]

    assert head.parameter.role == "tied embedding"
    assert head.learning_rate == pytest.approx(0.01)
    assert head.multiplier == pytest.approx(1 / 8)


def test_a_matrix_that_reads_in_and_out_is_refused() -> None:
    """Its two uses want two multipliers; no table has such a role."""
    with pytest.raises(UsageError) as caught:
        planned(lambda width, depth: AutoEncoder(width), parameterization="mup", depths=(2, 2))

    assert "read in and, transposed, read out" in caught.value.findings[0].rule
    assert caught.value.findings[0].received == "encoder.weight"


def test_scores_that_keep_their_size_at_init_are_named() -> None:
    """By the central limit they are flat; by the law of large numbers they grow as width^1/2 once the sides agree."""
    words = "keeps its size at init, and as width^0.5 once they align"

    assert said(lambda width, depth: Towers(width), words, parameterization="mup", depths=(2, 2))


@pytest.mark.parametrize(("more", "noted"), [(0, False), (4, True)])
def test_a_depth_that_is_not_the_number_of_layers_is_named(more: int, noted: bool) -> None:
    """6 and 12 layers grow by 2, not by the depth argument's 4."""

    def make(width: int, depth: int) -> nn.Module:
        return Decoder(width, blocks(width, depth + more))

    assert said(make, "6 layers at depth 2 and 12 at depth 8") is noted


def test_constants_that_follow_the_size_are_named() -> None:
    """A LayerScale of 2 / depth comes on top of the branch's own multiplier."""

    def make(width: int, depth: int) -> nn.Module:
        return Decoder(width, [Block(width, layer_scale=2 / depth) for _ in range(depth)])

    assert said(make, "blocks.*.scale at 0.25 at this size and at 1 at the base")


def test_layers_that_start_differently_are_named() -> None:
    """Std by the layer's index: layers that the base has not got take the last one's."""

    def make(width: int, depth: int) -> nn.Module:
        return Decoder(width, [Block(width, std=0.1 / math.sqrt(index + 1)) for index in range(depth)])

    assert said(make, "blocks.*.up.weight start differently from one another at the base")


def test_what_cannot_be_read_is_refused() -> None:
    """Scripted modules, layers without a shape yet, models that were built before: by name, with a repair."""

    def scripted(width: int, depth: int) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls it deprecated
            module: nn.Module = torch.jit.script(nn.Linear(width, width))
        return module

    for make, words in (
        (scripted, "must be a plain module"),
        (lambda width, depth: nn.Sequential(nn.LazyLinear(width), nn.Linear(width, 1)), "must have a shape"),
    ):
        with pytest.raises(UsageError, match=words):
            planned(make)

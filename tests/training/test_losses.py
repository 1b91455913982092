"""Losses: the built-in one and a user's own pass the suite; a user's own trains a trial."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.errors import RecipeError, UsageError
from hptransfer.recipe.objective import NO_UNIT
from hptransfer.testing.losses import LossConformance
from hptransfer.training.batches import Batch, to_tensors
from hptransfer.training.losses.base import LOSSES, find_loss
from hptransfer.training.losses.masked_token import chosen_positions
from hptransfer.trials.spec import TrialSpec
from tests.support import identities
from tests.support.own_batches import FromPair, Regression, line, nested
from tests.support.recipe_texts import MLP, edited, load_text

OWN = "tests.support.own_losses:brier"
BITS = "tests.plugin.hptransfer_lab.loss:LOSS"
DATA = "tests.plugin.hptransfer_lab.data:SOURCE"

for _name in ("next-token", OWN, BITS):
    _class = f"Test_{_name.rpartition(':')[2].replace('-', '_')}"
    globals()[_class] = type(_class, (LossConformance,), {"name": _name})


class _Both(nn.Module):
    """A small model from B x C tokens to B x C x V logits that see the whole window."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(300, 4)
        self.readout = nn.Linear(4, 300)

    def forward(self, tokens_BxC: Tensor) -> Tensor:
        """Logits of every token."""
        h_BxCxD = self.table(tokens_BxC)
        logits_BxCxV: Tensor = self.readout(h_BxCxD + h_BxCxD.mean(1, keepdim=True))
        return logits_BxCxV


class TestMaskedToken(LossConformance):
    """Of windows, with the id of a mask."""

    name = "masked-token"
    arguments: ClassVar[dict[str, Any]] = {"mask_token": 299, "share": 0.3}

    def model(self) -> nn.Module:
        """One that sees both sides."""
        torch.manual_seed(0)
        return _Both()


class _WithMore(FromPair):
    """Returns its logits first, and something else."""

    def forward(self, pair: tuple[Tensor, Tensor], more: list[Tensor]) -> tuple[Tensor, str]:  # type: ignore[override]
        """Logits first."""
        return super().forward(pair, more), "and more"


class TestCrossEntropy(LossConformance):
    """Of a dict with labels and nested inputs, and a model that returns a tuple."""

    name = "cross-entropy"
    arguments: ClassVar[dict[str, Any]] = {"output": 0}

    def model(self) -> nn.Module:
        """Called with keyword arguments."""
        torch.manual_seed(0)
        return _WithMore()

    def batch(self) -> Batch:
        """A dict with a tuple and a list in it."""
        return to_tensors(nested(0, 0, 6), "nested")


class TestMse(LossConformance):
    """Of a pair."""

    name = "mse"

    def model(self) -> nn.Module:
        """From two numbers to one."""
        torch.manual_seed(0)
        return Regression(8, 1)

    def batch(self) -> Batch:
        """Points of a line."""
        return to_tensors(line(0, 0, 6), "line")


del LossConformance


def test_every_built_in_loss_passes_the_suite() -> None:
    """The folder is the list."""
    assert LOSSES.built_in == ("cross-entropy", "masked-token", "mse", "next-token")


def generator(seed: int = 0) -> torch.Generator:
    """Of numbers for one test."""
    return torch.Generator().manual_seed(seed)


class Fixed(nn.Module):
    """Returns what it was given at construction, whatever comes."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: object, **__: object) -> object:
        """The output."""
        return self.output


def test_cross_entropy_is_torchs() -> None:
    """Of classes per example and per position; `.logits` is understood."""
    logits_BxV, labels_B = torch.randn(5, 7, generator=generator()), torch.tensor([0, 6, 3, 3, 1])
    logits_BxTxV = torch.randn(2, 3, 7, generator=generator())
    labels_BxT = torch.tensor([[0, 1, 2], [6, 5, 4]])
    loss = find_loss("cross-entropy")
    inputs = torch.zeros(5, 1)

    expected = functional.cross_entropy(logits_BxV, labels_B)
    for output in (logits_BxV, SimpleNamespace(logits=logits_BxV)):
        assert loss(Fixed(output), (inputs, labels_B)) == expected
        assert loss(Fixed(output), {"pixels": inputs, "labels": labels_B}) == expected
    found = loss(Fixed(logits_BxTxV), (torch.zeros(2, 1), labels_BxT))
    torch.testing.assert_close(found, functional.cross_entropy(logits_BxTxV.transpose(1, 2), labels_BxT))


def test_one_of_several_outputs() -> None:
    """A place in a tuple, a key or an attribute; the number is that of the output alone, in every built-in loss."""
    logits_BxV, labels_B = torch.randn(5, 7, generator=generator()), torch.tensor([0, 6, 3, 3, 1])
    states = torch.randn(5, 9, generator=generator())
    expected = functional.cross_entropy(logits_BxV, labels_B)
    for output, chosen in (
        ((logits_BxV, None), 0),
        ((states, logits_BxV), 1),
        ({"states": states, "scores": logits_BxV}, "scores"),
        (SimpleNamespace(logits=states, scores=logits_BxV), "scores"),
    ):
        loss = find_loss("cross-entropy", {"output": chosen})
        assert loss(Fixed(output), (torch.zeros(5, 1), labels_B)) == expected
    tokens_BxC1 = torch.tensor([[5, 6, 2, 3], [1, 2, 3, 4]])
    logits_BxCxV, numbers = torch.randn(2, 3, 7, generator=generator()), torch.randn(5, generator=generator())
    assert find_loss("next-token", {"output": 0})(Fixed((logits_BxCxV, None)), tokens_BxC1) == functional.cross_entropy(
        logits_BxCxV.flatten(0, 1), tokens_BxC1[:, 1:].flatten()
    )
    assert find_loss("mse", {"output": 0})(Fixed((numbers, None)), (numbers, numbers)) == 0
    masked = find_loss("masked-token", {"mask_token": 0, "output": 0})
    assert masked(Fixed((logits_BxCxV, None)), tokens_BxC1) == find_loss("masked-token", {"mask_token": 0})(
        Fixed(logits_BxCxV), tokens_BxC1
    )


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ((torch.zeros(5, 7), None), "loss_arguments: {output: 0}}`, or return"),
        ((torch.zeros(()), torch.zeros(5, 7)), "loss_arguments: {output: 1}}`, or return"),
        ((torch.zeros(5, 7), torch.zeros(5, 9)), "loss_arguments: {output: 0}}` (or 1)"),
        ({"scores": torch.zeros(5, 7)}, "loss_arguments: {output: scores}}`"),
        ((None, torch.zeros(5)), "return the logits from `forward`"),
    ],
)
def test_several_outputs_are_not_guessed_at(output: object, hint: str) -> None:
    """A tuple or a dict is refused with the line that chooses; pasted, it is valid."""
    with pytest.raises(UsageError, match="returns several outputs") as caught:
        find_loss("cross-entropy")(Fixed(output), (torch.zeros(5, 1), torch.zeros(5, dtype=torch.int64)))
    assert hint in str(caught.value.findings[0].hint)


def test_an_output_that_is_none() -> None:
    """A place or a name that the output does not have."""
    for chosen in (3, "scores"):
        with pytest.raises(UsageError, match="must name one of the model's outputs"):
            find_loss("cross-entropy", {"output": chosen})(
                Fixed((torch.zeros(5, 7), None)), (torch.zeros(5, 1), torch.zeros(5, dtype=torch.int64))
            )


def test_mse_is_torchs() -> None:
    """Over every number of the target."""
    found, target = torch.randn(4, 3, generator=generator()), torch.randn(4, 3, generator=generator(1))

    loss = find_loss("mse")(Fixed(found), {"x": torch.zeros(4), "target": target})

    torch.testing.assert_close(loss, functional.mse_loss(found, target))


def test_next_token_takes_any_vocabulary() -> None:
    """Of the token after the window, and after every position of a decoder."""
    tokens_BxC1 = torch.tensor([[5, 900, 2, 31_999], [1, 2, 3, 4]])
    logits_BxCxV = torch.randn(2, 3, 32_000, generator=generator())
    loss = find_loss("next-token")

    last, every = loss(Fixed(logits_BxCxV[:, -1]), tokens_BxC1), loss(Fixed(logits_BxCxV), tokens_BxC1)

    torch.testing.assert_close(last, functional.cross_entropy(logits_BxCxV[:, -1], tokens_BxC1[:, -1]))
    rows = [functional.cross_entropy(logits_BxCxV[:, t], tokens_BxC1[:, t + 1]) for t in range(3)]
    torch.testing.assert_close(every, torch.stack(rows).mean())


def test_masked_token_is_that_of_transformers() -> None:
    """`BertForMaskedLM` with labels of -100 everywhere but at the masked positions gives the same loss."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    bert = transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=120, **sizes)).eval()
    tokens_BxC1 = torch.randint(0, 119, (5, 41), generator=generator())
    tokens_BxC = tokens_BxC1[:, :-1]
    chosen_BxC = torch.zeros_like(tokens_BxC, dtype=torch.bool).scatter(1, chosen_positions(tokens_BxC, 0.15), True)

    found = find_loss("masked-token", {"mask_token": 119})(bert, tokens_BxC1)

    labels_BxC = tokens_BxC.masked_fill(~chosen_BxC, -100)
    expected = bert(input_ids=tokens_BxC.masked_fill(chosen_BxC, 119), labels=labels_BxC).loss
    torch.testing.assert_close(found, expected)
    assert chosen_BxC.sum(1).tolist() == [6] * 5  # 15% of 40


def test_masks_are_drawn_evenly() -> None:
    """Over many windows every position is masked equally often: chi-squared with 39 degrees, at 6 sigma."""
    tokens_BxC = torch.randint(0, 50_000, (4000, 40), generator=generator())
    counts = torch.bincount(chosen_positions(tokens_BxC, 0.15).flatten(), minlength=40).double()
    also = torch.bincount(chosen_positions(torch.arange(4000)[:, None] + torch.zeros(1, 40).long(), 0.15).flatten())

    # six of forty without repetition: the variance of a count is 4000 * 0.15 * 0.85
    for found in (counts, also.double()):
        assert ((found - 600) ** 2 / (600 * 0.85)).sum().item() < 39 + 6 * math.sqrt(78)


@pytest.mark.parametrize(
    ("loss", "arguments", "output", "batch", "rule", "received"),
    [
        ("next-token", {}, torch.zeros(2), torch.zeros(2, 3), "windows of tokens", "float32 (2, 3)"),
        ("next-token", {}, torch.zeros(2), (torch.zeros(2),), "windows of tokens", "(float32 (2,))"),
        ("next-token", {}, {"a": torch.zeros(2)}, torch.ones(2, 3).long(), "several outputs", "{a: float32 (2,)}"),
        ("next-token", {}, torch.zeros(2, 5, 9), torch.ones(2, 3).long(), "to logits", "(2, 5, 9) for (2, 2) tokens"),
        ("masked-token", {"mask_token": 1}, torch.zeros(2, 9), torch.ones(2, 3).long(), "to logits", "(2, 9) for"),
        ("cross-entropy", {}, torch.zeros(2, 9), torch.ones(2, 3).long(), "pair (inputs, labels)", "int64 (2, 3)"),
        ("cross-entropy", {}, torch.zeros(2, 9), {"x": torch.zeros(2)}, "pair (inputs, labels)", "{x: float32 (2,)}"),
        ("cross-entropy", {}, "text", (torch.zeros(2), torch.ones(2).long()), "must return logits", "str"),
        ("cross-entropy", {}, torch.zeros(9, 2), (torch.zeros(2), torch.ones(2).long()), "last axis", "float32 (9, 2)"),
        ("mse", {}, torch.zeros(2, 1), (torch.zeros(2), torch.zeros(2)), "targets' shape", "float32 (2, 1)"),
    ],
)
def test_a_wrong_structure_says_what_came(
    loss: str, arguments: dict[str, Any], output: object, batch: Batch, rule: str, received: str
) -> None:
    """Batches that are not the loss's, and models that return something else; nothing is broadcast in silence."""
    with pytest.raises(UsageError, match=re.escape(rule)) as caught:
        find_loss(loss, arguments)(Fixed(output), batch)

    assert received in str(caught.value.findings[0].received)


def test_batches_fit_the_model() -> None:
    """A model in float64 is given float64, integers stay integers."""
    module = FromPair().double()

    value = find_loss("cross-entropy")(module, to_tensors(nested(0, 0, 4), "nested"))

    assert value.dtype == torch.float64


@pytest.mark.parametrize(
    ("loss", "arguments", "fault"),
    [
        ("masked-token", {}, "missing a required argument: 'mask_token'"),
        ("masked-token", {"mask": 3, "mask_token": 3}, "got an unexpected keyword argument 'mask'"),
        ("mse", {"mask_token": 3}, "got an unexpected keyword argument 'mask_token'"),
    ],
)
def test_arguments_that_a_loss_does_not_take(tmp_path: Path, loss: str, arguments: dict[str, Any], fault: str) -> None:
    """A fault of the recipe, before anything trains."""
    with pytest.raises(UsageError, match="must be arguments of the loss") as caught:
        find_loss(loss, arguments)
    assert fault in str(caught.value.findings[0].received)
    text = with_loss(f"{loss}\n  loss_arguments: {json.dumps(arguments)}")
    with pytest.raises(RecipeError) as refused:
        load_text(tmp_path, text)
    assert refused.value.findings[0].received == fault


def test_arguments_of_the_loss_are_part_of_the_recipe(tmp_path: Path) -> None:
    """None change no hash; another mask is another recipe."""
    bare, none, some, other = (
        load_text(tmp_path, with_loss(f"{loss}\n  loss_arguments: {given}")).hash
        for loss, given in [
            ("next-token", "{}"),
            ("next-token", "{}"),
            ("masked-token", "{mask_token: 3}"),
            ("masked-token", "{mask_token: 4}"),
        ]
    )

    assert load_text(tmp_path, with_loss(None)).hash == bare == none
    assert len({bare, some, other}) == 3


def with_loss(loss: str | None) -> str:
    """A recipe's text that names this loss, or none."""
    return edited(MLP, ("  steps: 100\n", f"  steps: 100\n  loss: {loss}\n" if loss else "  steps: 100\n"))


def trained(tmp_path: Path, loss: str | None) -> dict[str, object]:
    """What a worker answers for one trial of a recipe with this loss."""
    recipe = load_text(tmp_path, with_loss(loss)).recipe
    size = recipe.size(16, 2, tokens=64 * 20)
    answer: dict[str, object] = json.loads(json.dumps(identities.trained(TrialSpec(recipe, tmp_path, size, {}, 0))))
    return answer


def test_a_users_own_loss_trains_a_trial(tmp_path: Path) -> None:
    """Named by module and function in the recipe: Brier's score of the uniform prediction is 255/256, and it falls."""
    answer = trained(tmp_path, OWN)

    assert answer["state"] == "complete"
    assert float(str(answer["loss"])) < 255 / 256


@pytest.mark.parametrize(
    ("name", "received"),
    [
        ("one_per_example", r"a tensor of shape \(\d+,\), float32"),
        ("of_python", "float"),
        ("whole", r"a tensor of shape \(\), int64"),
        ("detached", "a number without a gradient"),
    ],
)
def test_a_loss_that_cannot_be_trained_is_named(tmp_path: Path, name: str, received: str) -> None:
    """With what it returned, and not where torch noticed."""
    own = f"tests.support.own_losses:{name}"
    rule = "a loss must return the mean over examples: one floating-point number that can be differentiated"
    with pytest.raises(UsageError, match=f"{rule}; received: {own}: {received}"):
        trained(tmp_path, own)


def test_a_negative_loss_is_refused(tmp_path: Path) -> None:
    """Brier's score is about 1 at first, and this is 3 less."""
    own = "tests.support.own_losses:negative"
    with pytest.raises(UsageError, match=rf"must be positive; received: {own}: -[12]\.\d+ on the evaluation set"):
        trained(tmp_path, own)


def test_an_installed_package_adds_loss_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points, as pip leaves them: both names in a recipe, from validation to the trial."""
    installed = tmp_path / "site" / "own_plugin-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        f"[hptransfer.losses]\nbrier = {OWN}\n[hptransfer.data_sources]\nrepeated = {DATA}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "more.txt").write_text("")
    data = ("{kind: stdlib-text}", "{kind: repeated, arguments: {word: 'word ', file: more.txt}}")
    recipe = load_text(tmp_path, edited(with_loss("brier"), data)).recipe
    size = recipe.size(16, 2, tokens=64 * 20)

    answer = identities.trained(TrialSpec(recipe, tmp_path, size, {}, 0))

    assert answer["state"] == "complete"
    assert answer["loss"] < 255 / 256


def test_a_loss_in_bits_is_that_in_nats_by_log_2(tmp_path: Path) -> None:
    """Adam's steps do not see a factor on the loss (but for eps): the same run, in another unit."""
    bits, nats = (float(str(trained(tmp_path, loss)["loss"])) for loss in (BITS, None))

    assert bits == pytest.approx(nats / math.log(2), rel=1e-3)


def test_a_function_without_a_unit_has_the_losss_own() -> None:
    """Nothing is called nats that may be something else."""
    assert find_loss(OWN).unit == NO_UNIT
    assert find_loss(BITS).unit == "bits"
    assert find_loss("next-token").unit == "nats"


def test_what_is_no_function_is_refused() -> None:
    """With what it is."""
    with pytest.raises(UsageError, match="must be a function") as caught:
        find_loss("tests.support.own_losses:not_a_loss")

    assert caught.value.findings[0].received == "tests.support.own_losses:not_a_loss: str"


def test_naming_the_default_changes_no_recipe_hash(tmp_path: Path) -> None:
    """Evidence of before there was a choice stays valid; another loss is another recipe."""
    unsaid, said, other = (load_text(tmp_path, with_loss(loss)).hash for loss in (None, "next-token", OWN))

    assert unsaid == said != other


@pytest.mark.parametrize("loss", ["next-tokens", "''"])
def test_an_unknown_loss_is_a_fault_of_the_recipe(tmp_path: Path, loss: str) -> None:
    """At its place, with the names there are; a path is taken as it is, and imported by commands that train."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, with_loss(loss))

    (finding,) = caught.value.findings
    assert (
        finding.rule
        == "`training.loss` must be one of `cross-entropy`, `masked-token`, `mse`, `next-token`, or `module:attribute`"
    )
    assert finding.place is not None
    assert (finding.place.line, finding.place.column) == (6, 9)
    assert load_text(tmp_path, with_loss("nowhere.to_be:found")).recipe.training.loss == "nowhere.to_be:found"

"""`scale_logits`, the factor of a tied readout from outside: against mup's own, and on models as they come."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import mup
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan

BASE, WIDE = (16, 2), (64, 2)
VALUES = {"learning_rate": 0.02, "weight_decay": 0.1, "init_scale": 1.0, "eps": 1e-4}


class Tied(nn.Module):
    """A small decoder of residual MLP blocks whose readout is the table that looks tokens up."""

    def __init__(self, width: int, depth: int, *, bias: bool = False, logits: float = 1.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 32, bias=bias)
        self.head.weight = self.embedding.weight
        self.logits = logits

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of the next token."""
        h_BxTxD = self.embedding(tokens_BxT)
        for block in self.blocks:
            h_BxTxD = h_BxTxD + block(torch.tanh(h_BxTxD))
        logits_BxTxV: Tensor = self.head(self.logits * self.norm(h_BxTxD))
        return logits_BxTxV


class MuTied(Tied):
    """The same with mup's readout, unmodified."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.head = mup.MuSharedReadout(self.embedding.weight, bias=False)


class Functional(Tied):
    """The same with no module that reads out."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        del self.head

    def forward(self, tokens_BxT: Tensor) -> Tensor:
        """Logits of the next token."""
        logits_BxTxV: Tensor = self.norm(self.embedding(tokens_BxT)) @ self.embedding.weight.T
        return logits_BxTxV


def planned(size: tuple[int, int] = WIDE, build: Callable[[int, int], nn.Module] = Tied, **given: Any) -> AppliedPlan:
    """Tied weights under muP."""
    options = {"parameterization": "mup", "hyperparameters": VALUES, "residual_writers": []}
    return hptransfer.plan(build, base=BASE, target=size, **options | given)


def seeded(**given: Any) -> Tied:
    """The model at the planned width, always from the same draws of its own."""
    torch.manual_seed(1)
    return Tied(*WIDE, **given)


def batches(steps: int = 20) -> Tensor:
    """Sequences that go up by a fixed step."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(0, 32, (steps, 8, 1), generator=generator)
    return (starts + 3 * torch.arange(9)) % 32


def curve(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    """Training losses in the model's own precision."""
    seen = []
    for tokens_BxT in batches():
        loss = functional.cross_entropy(model(tokens_BxT[:, :-1]).flatten(0, -2), tokens_BxT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        seen.append(loss.item())
    return seen


def trained(model: nn.Module, plan: AppliedPlan) -> list[float]:
    """Losses of a planned model in float64."""
    model.double()
    plan.init_(model, seed=1)
    return curve(model, torch.optim.AdamW(plan.param_groups(model)))


@pytest.mark.parametrize("bias", [False, True])
def test_the_hook_trains_as_a_factor_in_forward(bias: bool) -> None:
    """Without the factor training is another: a negative control."""
    build = lambda width, depth: Tied(width, depth, bias=bias)  # noqa: E731  # a model's function
    plan, multiplied = planned(build=build), planned(build=build, gauge="multipliers")
    hooked = seeded(bias=bias)
    scale = hptransfer.scale_logits(hooked, plan)

    assert scale.factors == {"embedding.weight": 0.25}
    explicit = trained(seeded(bias=bias, logits=0.25), multiplied)
    assert trained(hooked, plan) == explicit
    assert explicit[-1] < 0.8 * explicit[0]
    assert trained(seeded(bias=bias), multiplied) != pytest.approx(explicit, rel=1e-2)


def test_rates_and_training_are_those_of_mup() -> None:
    """MuSharedReadout and MuAdamW, unmodified, from the same weights: the same rates and the same curve in float64."""
    plan = planned(options=hptransfer_options())
    hooked = Tied(*WIDE)
    hptransfer.scale_logits(hooked, plan)
    hooked.double()
    plan.init_(hooked, seed=1)
    theirs = MuTied(*WIDE)
    mup.set_base_shapes(theirs, MuTied(*BASE), delta=MuTied(2 * BASE[0], BASE[1]), rescale_params=False)
    theirs.double()
    theirs.load_state_dict(hooked.state_dict())
    rate, decay, eps = VALUES["learning_rate"], VALUES["weight_decay"], VALUES["eps"]
    optimizer = mup.MuAdamW(theirs.parameters(), lr=rate, weight_decay=decay, eps=eps, betas=(0.9, 0.999))
    groups = plan.param_groups(hooked)
    ours = {id(tensor): group for group in groups for tensor in group["params"]}
    named = dict(hooked.named_parameters())

    for group in optimizer.param_groups:
        for tensor in group["params"]:
            name = next(name for name, other in theirs.named_parameters() if other is tensor)
            mine = ours[id(named[name])]
            assert (mine["lr"], mine["weight_decay"]) == pytest.approx((group["lr"], group["weight_decay"]))
    expected = curve(theirs, optimizer)
    assert curve(hooked, torch.optim.AdamW(groups, betas=(0.9, 0.999))) == pytest.approx(expected, rel=1e-12)
    assert expected[-1] < 0.9 * expected[0]


def hptransfer_options() -> Any:
    """Mup scales no eps."""
    from hptransfer.parameterization.rules import Options

    return Options(eps="none", weight_decay="constant")


def test_a_plan_is_not_applied_without_it() -> None:
    """Silence would train with logits that grow with the width."""
    plan, model = planned(), Tied(*WIDE)
    for apply in (plan.init_, plan.param_groups):
        with pytest.raises(UsageError, match="must be multiplied") as refused:
            apply(model)
        assert refused.value.findings[0].received == "embedding.weight times 0.25"
        assert "hptransfer.scale_logits(model, plan)" in str(refused.value.findings[0].hint)

    scale = hptransfer.scale_logits(model, plan)
    plan.init_(model)
    scale.remove()
    with pytest.raises(UsageError, match="must be multiplied"):
        plan.param_groups(model)


def test_at_the_base_nothing_is_asked() -> None:
    """The factor is 1 there: the model stays as it is, and one that is scaled for another size is refused."""
    plan, model = planned(BASE), Tied(*BASE)
    plan.init_(model)
    assert hptransfer.scale_logits(model, plan).factors == {}

    wide, mixed = planned(), Tied(*WIDE)
    hptransfer.scale_logits(mixed, wide)
    at_width = hptransfer.plan(
        Tied, base=WIDE, target=WIDE, parameterization="mup", hyperparameters=VALUES, residual_writers=[]
    )
    with pytest.raises(UsageError, match="must be multiplied"):
        at_width.init_(mixed)
    hptransfer.scale_logits(mixed, at_width)
    at_width.init_(mixed)


def test_twice_is_once_and_removing_restores() -> None:
    """The same logits after a second call, the model's own after `remove`, names and state dict untouched."""
    plan, model = planned(), Tied(*WIDE)
    tokens_BxT = batches(1)[0]
    keys, plain = list(model.state_dict()), model(tokens_BxT)
    hptransfer.scale_logits(model, plan)
    again = hptransfer.scale_logits(model, plan)

    torch.testing.assert_close(model(tokens_BxT), 0.25 * plain)
    assert list(model.state_dict()) == keys
    again.remove()
    torch.testing.assert_close(model(tokens_BxT), plain, rtol=0, atol=0)


def test_copies_keep_it() -> None:
    """Deepcopy, pickle, and torch's averaged model."""
    plan, model = planned(), Tied(*WIDE)
    hptransfer.scale_logits(model, plan)
    plan.init_(model, seed=0)
    tokens_BxT = batches(1)[0]
    expected = model(tokens_BxT)

    for copied in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),  # noqa: S301  # our own bytes
        torch.optim.swa_utils.AveragedModel(model),
    ):
        assert torch.equal(copied(tokens_BxT), expected)
        plan.param_groups(copied)


@pytest.mark.parametrize("whole", [True, False])
def test_compiled_models_multiply(whole: bool) -> None:
    """Before and after compiling, also where the compiled model has run without it."""
    plan, model = planned(), Tied(*WIDE)
    tokens_BxT = batches(1)[0]
    plain = model(tokens_BxT).detach()
    compiled: Any = torch.compile(model, backend="eager") if whole else model
    if not whole:
        model.compile(backend="eager")
    torch.testing.assert_close(compiled(tokens_BxT), plain)
    hptransfer.scale_logits(compiled, plan)

    torch.testing.assert_close(compiled(tokens_BxT), 0.25 * plain)
    plan.param_groups(compiled)


def test_a_readout_without_a_module_is_multiplied_at_the_models_output() -> None:
    """`h @ table.T` in forward: the model's own output."""
    plan = planned()
    rows = [group for group in plan.groups if group.pattern.startswith(("embedding", "blocks", "norm"))]
    model = Functional(*WIDE)
    tokens_BxT = batches(1)[0]
    plain = model(tokens_BxT)
    alone = AppliedPlan(rows, VALUES)
    hptransfer.scale_logits(model, alone)

    torch.testing.assert_close(model(tokens_BxT), 0.25 * plain)


def test_an_output_that_has_no_logits_is_refused() -> None:
    """A loss that was computed inside of logits that nobody multiplied would be wrong without a word."""

    class WithLoss(Functional):
        def forward(self, tokens_BxT: Tensor) -> Any:
            """Logits and loss."""
            logits_BxTxV = super().forward(tokens_BxT)
            return logits_BxTxV, logits_BxTxV.sum()

    plan, model = planned(), WithLoss(*WIDE)
    hptransfer.scale_logits(model, plan)
    with pytest.raises(UsageError, match=r"to be multiplied, logits of embedding\.weight"):
        model(batches(1)[0])


def test_a_model_without_the_table_is_refused() -> None:
    """The plan of another model."""
    with pytest.raises(UsageError, match="a tied table of the plan") as refused:
        hptransfer.scale_logits(nn.Linear(2, 2), planned())
    assert refused.value.findings[0].received == r"embedding\.weight"


transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_transformers_as_they_come(family: str) -> None:
    """GPT-2, small Llamas and Qwens tie their readout; the loss that they compute by themselves sees scaled logits."""
    shape = {"num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 64, "tie_word_embeddings": True}
    shape |= {"bos_token_id": 0, "eos_token_id": 1}
    more = {} if family == "gpt2" else {"intermediate_size": 128, "num_key_value_heads": 4}

    def configured(width: int) -> Any:
        return transformers.AutoConfig.for_model(family, hidden_size=width, **shape, **more)

    plan = hptransfer.plan(
        configured(WIDE[0]), base=BASE, target=WIDE, parameterization="completep", hyperparameters=VALUES
    )
    model = transformers.AutoModelForCausalLM.from_config(configured(WIDE[0])).eval()
    name = "transformer.wte.weight" if family == "gpt2" else "model.embed_tokens.weight"
    tokens_BxT = batches(1)[0]
    plain = model(tokens_BxT).logits.detach()
    assert hptransfer.scale_logits(model, plan).factors == {name: 0.25}

    output = model(tokens_BxT, labels=tokens_BxT)
    torch.testing.assert_close(output.logits, 0.25 * plain)
    expected = functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), tokens_BxT[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected)
    plan.init_(model, seed=0)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight

"""The law by which each parameter starts, read while a model is built: exact, and the same with memory and without."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm
from torch import Tensor, nn
from torch.nn.init import orthogonal_, sparse_, trunc_normal_

from hptransfer.probe.own_init import OwnInit, own_inits

ROWS, COLUMNS = 96, 64


def timm_style(tensor: Tensor) -> Tensor:
    """The older way to a normal law cut off at two standard deviations, as libraries of image models carry it."""
    low, high = (math.erf(end / math.sqrt(2)) for end in (-2.0, 2.0))
    with torch.no_grad():
        tensor.uniform_(low, high).erfinv_()
        return tensor.mul_(0.02 * math.sqrt(2)).add_(0.0).clamp_(min=-0.04, max=0.04)


def in_thirds(tensor: Tensor) -> Tensor:
    """One law for each third of a fused projection, all alike."""
    for part in tensor.chunk(3):
        nn.init.xavier_uniform_(part)
    return tensor


def in_other_thirds(tensor: Tensor) -> Tensor:
    """A std of its own for each third."""
    for part, std in zip(tensor.chunk(3), (0.1, 0.2, 0.3), strict=True):
        nn.init.normal_(part, std=std)
    return tensor


def with_padding(tensor: Tensor) -> Tensor:
    """A row of zeros, as `nn.Embedding` has it for padding."""
    nn.init.normal_(tensor)
    with torch.no_grad():
        tensor[3].zero_()
    return tensor


def overwritten(tensor: Tensor) -> Tensor:
    """Several inits: the last one is what holds."""
    nn.init.ones_(tensor)
    nn.init.normal_(tensor, std=3.0)
    with torch.no_grad():
        return tensor.copy_(torch.randn_like(tensor) * 0.5).div_(2)


#: init of a matrix of ROWS outputs and COLUMNS inputs -> kind and std, by the formulas of their papers
LAWS: dict[str, tuple[Callable[[Tensor], Tensor], str, float]] = {
    "normal": (lambda each: nn.init.normal_(each, std=0.02), "normal", 0.02),
    "kaiming normal": (nn.init.kaiming_normal_, "normal", math.sqrt(2 / COLUMNS)),
    "kaiming uniform": (nn.init.kaiming_uniform_, "uniform", math.sqrt(2 / COLUMNS)),
    "linear's own": (
        lambda each: nn.init.kaiming_uniform_(each, a=math.sqrt(5)),
        "uniform",
        1 / math.sqrt(3 * COLUMNS),
    ),
    "xavier normal": (nn.init.xavier_normal_, "normal", math.sqrt(2 / (ROWS + COLUMNS))),
    "xavier uniform": (nn.init.xavier_uniform_, "uniform", math.sqrt(2 / (ROWS + COLUMNS))),
    "truncated": (
        lambda each: trunc_normal_(each, std=0.02, a=-0.02, b=0.02),
        "truncated normal",
        0.02 * truncnorm.std(-1, 1),
    ),
    "truncated far": (lambda each: trunc_normal_(each, std=0.5), "truncated normal", 0.5 * truncnorm.std(-4, 4)),
    "truncated by erfinv": (timm_style, "truncated normal", 0.02 * truncnorm.std(-2, 2)),
    "orthogonal": (lambda each: orthogonal_(each, gain=2.0), "normal", 2 / math.sqrt(ROWS)),
    "orthogonal, wide": (
        lambda each: orthogonal_(each.view(COLUMNS, ROWS)).view(ROWS, COLUMNS),
        "normal",
        1 / math.sqrt(ROWS),
    ),
    "sparse": (lambda each: sparse_(each, 0.5, std=0.3), "normal", 0.3),
    "scaled draw": (
        lambda each: each.copy_(torch.randn(ROWS, COLUMNS) / math.sqrt(COLUMNS)),
        "normal",
        1 / math.sqrt(COLUMNS),
    ),
    "number times draw": (lambda each: each.copy_(0.02 * torch.randn_like(each)), "normal", 0.02),
    "tensor times draw": (lambda each: each.copy_(torch.randn_like(each) * torch.tensor(2.0)), "normal", 2.0),
    "uniform around zero": (lambda each: each.copy_(2 * torch.rand(ROWS, COLUMNS) - 1), "uniform", 1 / math.sqrt(3)),
    "parts alike": (in_thirds, "uniform", math.sqrt(2 / (ROWS // 3 + COLUMNS))),
    "parts that differ": (in_other_thirds, "normal", math.sqrt((0.01 + 0.04 + 0.09) / 3)),
    "padding": (with_padding, "normal", 1.0),
    "overwritten": (overwritten, "normal", 0.25),
}


class One(nn.Module):
    """One matrix."""

    def __init__(self, start: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(ROWS, COLUMNS))
        with torch.no_grad():
            start(self.weight)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", LAWS)
def test_std_of_what_is_drawn(name: str, device: str) -> None:
    """By formula, on either device; what is really drawn on the CPU has that root mean square."""
    start, kind, std = LAWS[name]
    torch.manual_seed(0)
    with torch.device(device):
        module, found = own_inits(lambda: One(start))

    assert found["weight"].kind == kind
    assert found["weight"].std == pytest.approx(std, rel=1e-6)
    if device == "cpu":
        values = next(module.parameters()).detach()
        drawn = values[values != 0].double()
        assert float(drawn.square().mean().sqrt()) == pytest.approx(std, rel=3 / math.sqrt(drawn.numel()))


def kept(values: Tensor) -> nn.Module:
    """A module with one parameter."""
    module = nn.Module()
    module.weight = nn.Parameter(values)
    return module


def with_forget_gate() -> nn.Module:
    """Zeros with ones in the middle."""
    module = kept(torch.zeros(8))
    with torch.no_grad():
        module.weight[2:4].fill_(1.0)  # type: ignore[index]  # nn.Module says that it may be a module
    return module


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: kept(torch.full((4,), 1e-4)), OwnInit("constant", value=1e-4)),
        (lambda: kept(torch.zeros(4) - 2), OwnInit("constant", value=-2.0)),
        (lambda: kept(torch.ones(4) / torch.sqrt(torch.tensor(4.0))), OwnInit("constant", value=0.5)),
        (lambda: kept(torch.zeros(4)), OwnInit("zeros", value=0.0)),
        (lambda: kept(torch.ones(4)), OwnInit("ones", value=1.0)),
        (lambda: kept(torch.eye(4)), OwnInit("kept")),
        (lambda: kept(torch.log(torch.arange(1, 17).float()).repeat(4, 1)), OwnInit("kept")),
        (lambda: kept(torch.sin(torch.linspace(0, 1, 8))), OwnInit("kept")),
        (lambda: kept(torch.rand(8)), OwnInit("kept")),
        (lambda: kept(torch.randn(8) + 1), OwnInit("kept")),
        (with_forget_gate, OwnInit("kept")),
        (lambda: kept(torch.nn.init.dirac_(torch.empty(8, 8, 3))), OwnInit("kept")),
        (lambda: kept(torch.log(torch.expm1(torch.rand(8)))), OwnInit(None)),
        (lambda: kept(torch.from_numpy(np.random.default_rng().normal(size=8))), OwnInit(None)),
        (lambda: kept(torch.empty(8)), OwnInit(None)),
    ],
)
def test_constants_and_structures(build: Callable[[], nn.Module], expected: OwnInit, device: str) -> None:
    """What no std describes: constants by their value, structures as such, and what must be measured."""
    with torch.device(device):
        _, found = own_inits(build)

    assert found["weight"] == expected


class Assembled(nn.Module):
    """Layers of torch, a shared table and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.head = nn.Linear(8, 10, bias=False)
        nn.init.normal_(self.head.weight, std=7.0)
        self.head.weight = self.table.weight
        self.attention = nn.MultiheadAttention(8, 2)
        self.recurrent = nn.LSTM(8, 4)
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.LayerNorm(8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)


def test_layers_of_torch() -> None:
    """Their documented inits; a shared table has one law; frozen parameters are marked."""
    with torch.device("meta"):
        module, found = own_inits(Assembled)
    stds = {name: law.std for name, law in found.items() if law.std is not None}

    assert list(found) == [name for name, _ in module.named_parameters()]
    assert stds == pytest.approx(
        {
            "table.weight": 1.0,
            "attention.in_proj_weight": math.sqrt(2 / (24 + 8)),
            "attention.out_proj.weight": 1 / math.sqrt(3 * 8),
            "recurrent.weight_ih_l0": 1 / math.sqrt(3 * 4),
            "recurrent.weight_hh_l0": 1 / math.sqrt(3 * 4),
            "recurrent.bias_ih_l0": 1 / math.sqrt(3 * 4),
            "recurrent.bias_hh_l0": 1 / math.sqrt(3 * 4),
            "convolution.weight": 1 / math.sqrt(3 * 27),
            "convolution.bias": 1 / math.sqrt(3 * 27),
            "frozen.weight": 1 / math.sqrt(3 * 8),
            "frozen.bias": 1 / math.sqrt(3 * 8),
        }
    )
    assert (found["norm.weight"].kind, found["attention.in_proj_bias"].kind) == ("ones", "zeros")
    assert {name for name, law in found.items() if law.frozen} == {"frozen.weight", "frozen.bias"}


def test_no_memory_is_needed() -> None:
    """A matrix of 4 TB on the meta device; torch's own functions are as they were afterwards."""
    before = (orthogonal_.__code__, nn.init._no_grad_trunc_normal_)
    with torch.device("meta"):
        _, found = own_inits(lambda: nn.Linear(2**20, 2**20, bias=False))

    assert found["weight"].std == pytest.approx(1 / math.sqrt(3 * 2**20))
    assert (orthogonal_.__code__, nn.init._no_grad_trunc_normal_) == before


def test_what_is_built_is_what_would_be_built() -> None:
    """The recording draws nothing itself: the same seed gives the same weights, and leaves the same seed behind."""
    torch.manual_seed(3)
    module, _ = own_inits(Assembled)
    after = torch.rand(1)
    torch.manual_seed(3)
    plain = Assembled()

    assert all(map(torch.equal, module.state_dict().values(), plain.state_dict().values()))
    assert torch.equal(after, torch.rand(1))


SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 96,
}


@pytest.mark.parametrize(
    ("family", "head", "settings"),
    [
        ("llama", "AutoModelForCausalLM", SMALL),
        ("gemma", "AutoModelForCausalLM", SMALL | {"num_key_value_heads": 4, "head_dim": 16}),
        ("gpt2", "AutoModelForCausalLM", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 96}),
        ("mamba", "AutoModelForCausalLM", {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 96}),
        ("bert", "AutoModelForMaskedLM", SMALL),
        (
            "t5",
            "AutoModelForSeq2SeqLM",
            {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 4, "d_kv": 16, "vocab_size": 96},
        ),
    ],
)
def test_families_of_transformers(family: str, head: str, settings: dict[str, object]) -> None:
    """On the meta device, where transformers skips its init, laws are those of the CPU, and what is drawn has them."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(family, **settings, **ids)

    def build() -> nn.Module:
        module: nn.Module = getattr(transformers, head).from_config(config)
        return module

    with torch.device("meta"):
        _, told = own_inits(build)
    torch.manual_seed(0)
    module, drawn = own_inits(build)

    assert told == drawn
    for name, tensor in module.named_parameters():
        law, values = told[name], tensor.detach().double()
        nonzero = values[values != 0]
        if law.std is not None:
            square = float(nonzero.square().mean().sqrt())
            assert square == pytest.approx(law.std, rel=5 / math.sqrt(nonzero.numel()) + 0.02), name
        elif law.value is not None:
            assert bool((values == law.value).all()), name
    assert sum(law.std is not None for law in told.values()) > 4
    # gemma multiplies by one plus its gain; mamba's A_log is a structure
    gains = {law.kind for name, law in told.items() if re.search(r"norm|ln_", name.lower()) and name.endswith("weight")}
    assert gains == ({"zeros"} if family == "gemma" else {"ones"})
    if family == "mamba":
        assert told["backbone.layers.0.mixer.A_log"].kind == "kept"


def test_what_was_changed_after_it_was_made_stays() -> None:
    """A user's own init after `from_config` is what holds, on the meta device too."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    config = transformers.AutoConfig.for_model("llama", **SMALL)

    def build() -> nn.Module:
        module = transformers.AutoModelForCausalLM.from_config(config)
        nn.init.zeros_(module.lm_head.weight)
        built: nn.Module = module
        return built

    with torch.device("meta"):
        _, found = own_inits(build)

    assert found["lm_head.weight"] == OwnInit("zeros", value=0.0)
    assert found["model.embed_tokens.weight"] == OwnInit("normal", 0.02)

"""Whole models against unmodified PyPI mup 1.0.0: names, learning rates, decay and init std of every parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import mup
import pytest
import torch
from torch import nn

import hptransfer
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.huggingface import build_huggingface
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import HuggingFaceModel
from tests.support.families import family
from tests.support.user_models import nanogpt, resnet

BASE, WIDTH, DEPTH = 64, 256, 2
VALUES = {"learning_rate": 1.0, "weight_decay": 0.1}
Build = Callable[[int, int], nn.Module]


def of_transformers(name: str, **settings: object) -> HuggingFaceModel:
    """A small model with its readout untied: mup keeps a tied one's multiplier in `forward`."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    section = family(name, tied=False).section
    return section.model_copy(update={"settings": section.settings | settings})


def case(name: str) -> tuple[Build, HuggingFaceModel | Build]:
    """(a builder, what is planned)."""
    if name in ("qwen2", "bert"):
        section = of_transformers(name)
        return (lambda width, depth: build_huggingface(section, width, depth)), section
    build = {"nanogpt": nanogpt, "resnet": resnet}[name]
    return build, build


def ours(model: HuggingFaceModel | Build) -> AppliedPlan:
    """The plan in the form that mup's optimizers are for: multipliers in `forward`."""
    return hptransfer.plan(
        model,
        base=(BASE, DEPTH),
        target=(WIDTH, DEPTH),
        hyperparameters=VALUES,
        parameterization="mup",
        gauge="multipliers",
    )


def theirs(build: Build) -> nn.Module:
    """The model with mup's shapes; its readout is no MuReadout, which neither shapes nor optimizers need."""
    with torch.device("meta"):
        base, delta = build(BASE, DEPTH), build(2 * BASE, DEPTH)
    model = build(WIDTH, DEPTH)
    mup.set_base_shapes(model, base, delta=delta, rescale_params=False, do_assert=False)
    return model


@pytest.mark.parametrize(("name", "count"), [("nanogpt", 29), ("qwen2", 27), ("resnet", 17), ("bert", 44)])
def test_whole_models_agree_with_mup(name: str, count: int) -> None:
    """Every parameter, once: rate and decay as in mup's groups, and the std to which mup's `init.normal_` scales."""
    build, planned = case(name)
    plan, model = ours(planned), theirs(build)
    groups = mup.MuAdamW(model.parameters(), lr=1.0, weight_decay=0.1).param_groups
    names = {id(tensor): key for key, tensor in model.named_parameters()}
    expected = {
        names[id(tensor)]: (group["lr"], group["weight_decay"]) for group in groups for tensor in group["params"]
    }

    rows = {row.parameter.name: row for row in plan.rows}
    assert {key: (row.learning_rate, row.weight_decay) for key, row in rows.items()} == expected
    assert len(rows) == count
    torch.manual_seed(0)
    drawn = 0
    for key, tensor in model.named_parameters():
        std = rows[key].parameter.base_init_std
        if std:
            mup.init.normal_(tensor, std=std)
            assert rows[key].init_std == pytest.approx(tensor.std().item(), rel=5 / math.sqrt(2 * tensor.numel())), key
            drawn += 1
    assert drawn >= count // 3


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_completep_on_its_own_example(alpha: float) -> None:
    """nanoGPT-mup's branch completep, its groups and its `forward`, on a nanoGPT of 4 times the width and depth.

    Its groups: embeddings at the base's rate with decay; norms and biases of blocks at m_L^(alpha - 1), weights at
    m_L^(alpha - 1) / m_N with decay times m_N; the last norm at the base's rate; norms and biases without decay.
    Branches are multiplied by m_L^-alpha, logits by 1/m_N; eps is the paper's Table 1 (arXiv 2505.01618).
    """
    m_N, m_L = 4.0, 4.0
    plan = hptransfer.plan(
        nanogpt,
        base=(BASE, DEPTH),
        target=(int(m_N) * BASE, int(m_L) * DEPTH),
        hyperparameters=VALUES | {"eps": 1.0},
        parameterization=Parameterization("completep", alpha),
        gauge="multipliers",
        preset="nanogpt",
        options=Options(decay_vectors=False),
    )
    deep = m_L ** (alpha - 1)
    #: (rate, decay, eps, multiplier)
    expected = {
        r"transformer\.w[tp]e\.weight": (1.0, 0.1, 1 / m_N, 1.0),
        r"transformer\.h\.\d+\.ln_[12]\.(weight|bias)": (deep, 0.0, 1 / m_N / m_L**alpha, 1.0),
        r"transformer\.h\.\d+\.(attn\.c_attn|mlp\.c_fc)\.weight": (deep / m_N, 0.1 * m_N, 1 / m_N / m_L**alpha, 1.0),
        r"transformer\.h\.\d+\.(attn\.c_attn|mlp\.c_fc)\.bias": (deep, 0.0, 1 / m_N / m_L**alpha, 1.0),
        r"transformer\.h\.\d+\.\w+\.c_proj\.weight": (deep / m_N, 0.1 * m_N, 1 / m_N / m_L**alpha, m_L**-alpha),
        r"transformer\.h\.\d+\.\w+\.c_proj\.bias": (deep, 0.0, 1 / m_N / m_L**alpha, m_L**-alpha),
        r"transformer\.ln_f\.(weight|bias)": (1.0, 0.0, 1 / m_N, 1.0),
        r"lm_head\.weight": (1.0, 0.1, 1 / m_N, 1 / m_N),
    }
    for row in plan.rows:
        (values,) = (found for pattern, found in expected.items() if re.fullmatch(pattern, row.parameter.name))
        got = (row.learning_rate, row.weight_decay, row.eps, row.multiplier)
        assert got == pytest.approx(values, rel=1e-12), row.parameter.name

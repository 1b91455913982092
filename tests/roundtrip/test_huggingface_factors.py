"""Factors that the reader takes from configurations are those that `forward` applies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from hptransfer.models.huggingface import build_huggingface
from hptransfer.roundtrip._huggingface_factors import FACTORS, configured_factors
from tests.support.exported import llama_target, round_trip, write_export
from tests.support.families import batch, family
from tests.support.huggingface_exports import GRANITE, section

transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")

#: transformers 5.23 cannot build this one from a few keys; its line is that of cohere
UNMEASURED = "cohere_compass_text"
CASES = [(name, said) for name, keys in FACTORS.items() for said in keys if name != UNMEASURED]
#: families that share a modelling file's lines, or whose experts take seconds: one of each kind by default
QUICK = ("granite", "granitemoeshared", "hyperclovax", "falcon_h1", "minicpm3", "cohere")


def built(name: str, settings: Mapping[str, Any], changes: Mapping[str, Any]) -> nn.Module:
    """A small model whose configuration's class is given other values, lists among them; large draws everywhere."""
    kind = transformers.CONFIG_MAPPING[name]
    own = kind.__init__
    with patch.object(kind, "__init__", lambda self, **values: own(self, **{**values, **changes})):
        torch.manual_seed(0)
        model = build_huggingface(section(name, **settings), 64, 2).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # branches far from zero, so that a factor on them is seen
                parameter.normal_(std=0.2, generator=generator)
    return model


def logits(model: nn.Module) -> Tensor:
    """What a model gives for fixed tokens."""
    inputs, _ = batch("causal-lm", 0, model)
    with torch.no_grad():
        found: Tensor = model(**inputs).logits
    return found


@pytest.mark.parametrize(
    ("name", "said"),
    [pytest.param(*case, marks=() if case[0] in QUICK else pytest.mark.slow) for case in CASES],
)
def test_a_factor_of_a_configuration_is_one_on_these_weights(name: str, said: str) -> None:
    """Twice a key gives the logits that the reader's factors on weights give, and not those without: measured."""
    settings = dict(family(name, tied=False).section.settings)
    if name == "hyperclovax":  # its writers' norms would take the factor
        settings["use_post_norm"] = False
    key, _, entry = said.partition("[")
    base: Any = settings.get(key, getattr(transformers.CONFIG_MAPPING[name](), key))
    value = [2 * each if str(at) == entry[:-1] else each for at, each in enumerate(base)] if entry else 2 * base
    changed = built(name, settings, {key: value})
    factors = configured_factors(changed, settings)
    multiplied = built(name, settings, {})
    plain = logits(multiplied)
    with torch.no_grad():
        for parameter_name, parameter in multiplied.named_parameters():
            parameter.mul_(factors.get(parameter_name, 1.0))

    assert set(factors.values()) == {
        0.5 if said in ("logits_scaling", "logits_mup_width_multiplier") and name != "hyperclovax" else 2.0
    }
    torch.testing.assert_close(logits(changed), logits(multiplied), rtol=1e-5, atol=1e-5)
    assert (logits(changed) - plain).abs().max() > 1e-3
    assert configured_factors(built(name, settings, {}), settings) == {}


def test_in_the_unit_gauge_only_writers_keep_their_factor(tmp_path: Path) -> None:
    """Three times the width leaves 3^-1/2 in `forward` of each hidden weight; Granite multiplies only its writers.

    Queries start at 0.02 / sqrt(3) with a rate of 0.01 / 3, as in the plain form: Tensor Programs V, Tables 3 and 8.
    """
    target = llama_target("completep", size=llama_target().size, model=GRANITE, gauge="unit")
    folder = write_export(tmp_path, "huggingface", target)
    found = round_trip(tmp_path / "again", "huggingface", target)
    text = (folder / "hptransfer_hf.py").read_text()
    (query,) = [line for line in text.splitlines() if r"self_attn\\.q_proj" in line]
    (writer,) = [line for line in text.splitlines() if r"self_attn\\.o_proj" in line]

    assert found.holds
    assert json.loads((folder / "config.json").read_text())["residual_multiplier"] == pytest.approx(0.5 / 3**0.5)
    assert "'learning_rate': 0.00333333333" in query
    assert "'init': ('scale', 0.57735026" in query
    assert "'init': ('scale', 1.0)" in writer


def test_a_writers_bias_is_planned_for_the_factor_that_its_key_gives_it(tmp_path: Path) -> None:
    """`residual_multiplier` multiplies what a projection gives, its bias included."""
    model = section("granite", **{**GRANITE.settings, "attention_bias": True})

    assert round_trip(tmp_path, "huggingface", llama_target(model=model, gauge="multipliers")).differences == ()


def test_a_factor_of_the_branches_that_was_edited_is_found(tmp_path: Path) -> None:
    """`residual_multiplier` 1 instead of 0.5, of writers only."""
    edits = {"config.json": ('"residual_multiplier": 0.5', '"residual_multiplier": 1.0')}
    found = round_trip(tmp_path, "huggingface", llama_target(model=GRANITE, gauge="multipliers"), edits)

    assert {each.sentence.partition(":")[0] for each in found.differences} == {
        "model.layers.*.self_attn.o_proj.weight",
        "model.layers.*.mlp.down_proj.weight",
    }
    assert all("multiplier 1, planned 0.5" in each.sentence for each in found.differences)

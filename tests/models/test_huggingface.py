"""Unmodified models of transformers, from configurations only."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from hptransfer.errors import MachineError, UsageError
from hptransfer.models.api import plan
from hptransfer.models.build import build_model
from hptransfer.models.huggingface import load_transformers
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import PlannedParameter
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.sections import Setting

transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")

HYPERPARAMETERS = {"learning_rate": 0.01, "weight_decay": 0.1}
LLAMA: dict[str, Setting] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
}
BERT: dict[str, Setting] = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
GPT2: dict[str, Setting] = {
    "n_embd": 64,
    "n_head": 4,
    "vocab_size": 256,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "tie_word_embeddings": False,
}


def section(config: str, settings: dict[str, Setting], **more: object) -> HuggingFaceModel:
    """A recipe's section."""
    return HuggingFaceModel(kind="huggingface", config=config, settings=settings, **more)  # type: ignore[arg-type]  # fields of one test


def rows(model: HuggingFaceModel, **options: object) -> dict[str, PlannedParameter]:
    """Planned at 4 times the width and twice the depth, by the tables' init."""
    arguments: dict[str, object] = {"base": (64, 2), "target": (256, 4), "hyperparameters": HYPERPARAMETERS}
    arguments |= {"init": "rule"} | options
    return {row.parameter.name: row for row in plan(model, **arguments).rows}  # type: ignore[arg-type]  # options of one test


def test_llama() -> None:
    """Every parameter of a Llama has CompleteP's values (arXiv 2505.01618, Table 1) with m_N = 4 and m_L = 2."""
    found = rows(section("llama", LLAMA))

    # hidden weights: lr 0.01/4, decay 0.1*4; those that write the stream absorb 1/m_L = 1/2 into both
    q, o, down = (
        found[f"model.layers.3.{name}.weight"] for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj")
    )
    assert (q.learning_rate, q.weight_decay) == (0.0025, 0.4)
    assert (o.learning_rate, o.weight_decay, o.init_std) == (0.00125, 0.8, 1 / 8 / 2 / 2)
    assert down.parameter.fan_in == 512
    assert found["lm_head.weight"].learning_rate == 0.0025
    assert found["model.embed_tokens.weight"].learning_rate == 0.01
    assert len(found) == 2 + 4 * 9 + 1


def test_llama_with_fixed_key_value_heads() -> None:
    """Keys and values of a fixed number of heads are hidden weights whose fan-in is d_model."""
    follow = ("hidden_size", "intermediate_size", "num_attention_heads")
    key = rows(section("llama", LLAMA, follow_width=follow))["model.layers.0.self_attn.k_proj.weight"]

    assert key.parameter.shape == (32, 256)
    assert key.parameter.role == "hidden weight"
    assert "key and value heads are fixed" in key.parameter.reason
    assert key.learning_rate == 0.0025


def test_gpt2_stores_inputs_by_outputs() -> None:
    """The linear layers of GPT-2 store inputs x outputs: fan-in is the first axis."""
    found = rows(section("gpt2", GPT2))
    up = found["transformer.h.0.mlp.c_fc.weight"].parameter

    assert (up.shape, up.fan_in, up.fan_out) == ((256, 1024), 256, 1024)
    assert found["transformer.h.3.mlp.c_proj.weight"].parameter.writes_residual
    assert found["transformer.h.3.attn.c_proj.bias"].parameter.writes_residual


@pytest.mark.parametrize("gauge", ["plain", "multipliers"])
def test_tied_gpt2_is_planned_as_table_8_has_it(gauge: Gauge) -> None:
    """GPT-2 as it comes ties its readout: nothing scales but the logits, by 1/m_N with m_N = 256/64."""
    table = rows(section("gpt2", GPT2 | {"tie_word_embeddings": True}), gauge=gauge)["transformer.wte.weight"]

    assert (table.init_std, table.learning_rate, table.multiplier) == (1.0, 0.01, 0.25)


@pytest.mark.parametrize("config", ["qwen2", "mistral"])
def test_families_of_llama(config: str) -> None:
    """Qwen2, whose projections have biases, and Mistral are planned as they are."""
    found = rows(section(config, LLAMA))

    assert found["model.layers.0.mlp.down_proj.weight"].parameter.writes_residual
    assert ("model.layers.0.self_attn.k_proj.bias" in found) == (config == "qwen2")


def test_vit() -> None:
    """Patches are embedded by a convolution; class token and positions are embeddings, the classifier reads out."""
    found = rows(section("vit", BERT))

    assert found["vit.embeddings.patch_embeddings.projection.weight"].parameter.fan_in == 3 * 16 * 16
    assert {found[f"vit.embeddings.{name}"].parameter.role for name in ("cls_token", "position_embeddings")} == {
        "embedding"
    }
    assert found["classifier.weight"].parameter.role == "readout"
    assert found["classifier.bias"].parameter.role == "readout bias"


def test_bert_says_that_it_normalises_after_the_sum() -> None:
    """Rules for depth are for pre-norm blocks, and BERT's are not."""
    model = section("bert", BERT | {"vocab_size": 256, "tie_word_embeddings": False})
    planned = plan(model, base=(64, 2), target=(256, 4), hyperparameters=HYPERPARAMETERS)

    assert planned.plan is not None
    assert any("post-norm" in note for note in planned.plan.notes)
    writers = {row.parameter.name for row in planned.rows if row.parameter.writes_residual}
    assert "bert.encoder.layer.0.attention.output.dense.weight" in writers
    assert "bert.encoder.layer.0.output.dense.bias" in writers


def test_mixtral() -> None:
    """Routers and stacked experts of a known family are decided by its preset."""
    found = rows(section("mixtral", LLAMA))

    assert found["model.layers.0.mlp.gate.weight"].parameter.role == "router"
    down = found["model.layers.0.mlp.experts.down_proj"].parameter
    assert (down.fan_in, down.fan_out, down.writes_residual) == (512, 256, True)


def test_a_configuration_object() -> None:
    """A configuration of transformers can be handed over as it is."""
    config = transformers.LlamaConfig(**LLAMA, num_hidden_layers=4)
    planned = plan(config, base=(64, 2), target=(256, 4), hyperparameters=HYPERPARAMETERS)

    assert {row.parameter.name: row.learning_rate for row in planned.rows} == {
        name: row.learning_rate for name, row in rows(section("llama", LLAMA)).items()
    }


def test_heads_that_grow_are_noted() -> None:
    """Where the number of heads is fixed, head_dim grows and attention logits need a factor in `forward`."""
    model = section("llama", LLAMA, follow_width=("hidden_size", "intermediate_size"))
    planned = plan(model, base=(64, 2), target=(256, 2), hyperparameters=HYPERPARAMETERS)

    assert planned.plan is not None
    assert any("heads grow (16 -> 64)" in note for note in planned.plan.notes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden_size": 64}, "without intermediate_size, num_attention_heads"),
        (LLAMA | {"hidden_size": 512}, "4 * 64 / 512"),
        (LLAMA | {"intermediate_size": "large"}, "intermediate_size: 'large'"),
    ],
)
def test_impossible_proportions(settings: dict[str, Setting], said: str) -> None:
    """Settings that do not scale are refused with the key at fault."""
    with pytest.raises(UsageError) as caught:
        rows(section("llama", settings))

    assert said in str(caught.value.findings[0].received)


def test_unknown_configurations_must_say_what_follows() -> None:
    """A family whose configuration does not say its width needs its keys."""
    with pytest.raises(UsageError, match="follow_width"):
        rows(section("blt", {"hidden_size": 64}))


def test_an_unknown_family_with_its_keys() -> None:
    """Given keys for width and depth, any configuration can be planned; residual writers are patterns."""
    settings: dict[str, Setting] = {
        "hidden_size": 64,
        "word_embed_proj_dim": 64,
        "ffn_dim": 128,
        "num_attention_heads": 4,
        "vocab_size": 256,
        "tie_word_embeddings": False,
    }
    model = section(
        "opt",
        settings,
        follow_width=("hidden_size", "word_embed_proj_dim", "ffn_dim", "num_attention_heads"),
        depth_key="num_hidden_layers",
        task="causal-lm",
        residual_writers=(r".*layers\.\d+\.(self_attn\.out_proj|fc2)\.(weight|bias)",),
    )

    assert rows(model)["model.decoder.layers.0.fc2.weight"].learning_rate == 0.00125


def test_the_largest_llama_takes_little_memory() -> None:
    """A 405-billion-parameter Llama with 8 key-value heads is planned from a cold start in under 1.5 GB."""
    code = """
import json, math, time
started = time.perf_counter()
import hptransfer
from hptransfer.recipe.model_sections import HuggingFaceModel
model = HuggingFaceModel(
    kind="huggingface",
    config="llama",
    settings={
        "hidden_size": 16384, "intermediate_size": 53248, "num_attention_heads": 128, "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    follow_width=("hidden_size", "intermediate_size", "num_attention_heads"),
)
planned = hptransfer.plan(
    model, base=(1024, 2), target=(16384, 126), hyperparameters={"learning_rate": 0.01, "weight_decay": 0.1}
)
with open("/proc/self/status") as status:  # not ru_maxrss, which begins with the test worker's own size
    (kilobytes,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
print(json.dumps({
    "parameters": sum(math.prod(row.parameter.shape) for row in planned.rows),
    "groups": len(planned.groups),
    "kilobytes": kilobytes,
    "seconds": time.perf_counter() - started,
}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    measured = json.loads(done.stdout)

    # 126 x (2 D^2 + 2 D K + 3 D F + 2 D) + 2 V D + D, with D 16384, K 1024, F 53248, V 128256
    assert measured["parameters"] == 126 * (2 * 16384**2 + 2 * 16384 * 1024 + 3 * 16384 * 53248 + 2 * 16384) + (
        2 * 128256 * 16384 + 16384
    )
    assert measured["parameters"] == pytest.approx(405.85e9, rel=1e-3)
    assert measured["groups"] == 12
    assert measured["kilobytes"] < 1_500_000


def test_from_the_meta_device() -> None:
    """to_empty leaves garbage in buffers (rotary frequencies); transformers' init_weights fills them, then the plan."""
    model = section("llama", LLAMA)
    planned = plan(model, base=(64, 2), target=(64, 2), hyperparameters=HYPERPARAMETERS, init="rule")
    straight, late = build_model(model, 64, 2), build_model(model, 64, 2, device="meta").to_empty(device="cpu")
    late.init_weights()  # type: ignore[operator]  # of PreTrainedModel
    planned.init_(straight, seed=0)
    planned.init_(late, seed=0)
    tokens = torch.arange(16).view(2, 8)

    torch.testing.assert_close(late(tokens).logits, straight(tokens).logits, rtol=0, atol=0)


def test_without_transformers_the_whole_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra's name alone is no command."""
    monkeypatch.setitem(sys.modules, "transformers", None)

    with pytest.raises(MachineError) as raised:
        load_transformers()

    assert str(raised.value.findings[0].hint).startswith("pip install 'hptransfer[hf]'")

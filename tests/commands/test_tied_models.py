"""Models of transformers with one table for lookup and readout, unchanged: from the recipe to a step of the target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.nn import functional

from hptransfer import load_plan, scale_logits
from tests.support.command_line import hptransfer

transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")

#: sizes that a user may write; GPT-2 is tied by default
_LLAMA = {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 16, "tie_word_embeddings": True}
MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 16},
    "llama": {"hidden_size": 64, "intermediate_size": 192, "num_key_value_heads": 4, **_LLAMA},
    "qwen2": {"hidden_size": 64, "intermediate_size": 192, "num_key_value_heads": 2, **_LLAMA},
}
#: the same at the target, by transformers' own classes, with the width eight times
TARGETS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_embd": 512, "n_head": 32}),
    "llama": ("Llama", {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 32}),
    "qwen2": ("Qwen2", {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 32}),
}
HEADS = {"gpt2": {}, "llama": {"num_key_value_heads": 32}, "qwen2": {"num_key_value_heads": 16}}
#: the ladder spans a factor of four above width 64: narrower, updates are not yet as wide models have them
WIDTHS = [64, 128, 256]
#: no token of these models' text ends a document
OTHER = {"vocab_size": 256, "bos_token_id": None, "eos_token_id": None}


def _recipe(name: str) -> str:
    document = {
        "name": name,
        "model": {"kind": "huggingface", "config": name, "settings": OTHER | MODELS[name], "context": 16},
        "data": {"kind": "stdlib-text"},
        "training": {"steps": 12, "batch_size": 8, "evaluation_batches": 2},
        "parameterization": {"name": "mup"},
        "sizes": {"base": {"width": 64, "depth": 2}, "widths": WIDTHS, "target": {"width": 512, "depth": 2}},
        "tune": {"space": {"learning_rate": {"low": 0.001, "high": 0.03}}, "trials": 4, "confirm_seeds": 1},
        "check": {"octaves": 1.0, "seeds": 2, "coordinate": {"seeds": 2}},
    }
    return yaml.safe_dump(document, sort_keys=False)


def _target(name: str) -> torch.nn.Module:
    """What the user trains at last, built by the user."""
    family, numbers = TARGETS[name]
    config = getattr(transformers, f"{family}Config")(**(OTHER | MODELS[name] | numbers | HEADS[name]))
    torch.manual_seed(0)
    model: torch.nn.Module = getattr(transformers, f"{family}{'LMHeadModel' if name == 'gpt2' else 'ForCausalLM'}")(
        config
    )
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_tied_model_from_recipe_to_target(tmp_path: Path, name: str) -> None:
    """Every command ends with a verdict, and the written plan, its hook first, trains the real model."""
    (tmp_path / "tied.yaml").write_text(_recipe(name))
    ends = {
        "validate --trust": (0,),
        "tune --workers 1 --quiet": (0,),
        "check --workers 1 --quiet": (0, 1, 3),
        "scale --force": (0,),
    }
    for words, allowed in ends.items():
        command, *options = words.split()
        done = hptransfer(tmp_path, command, "tied.yaml", *options)
        assert done.returncode in allowed, done.stderr
        if command == "check":
            assert "coordinate check: slope of log2 change" in done.stdout
            assert re.search(r"updates after 1 step: none of \d+ parameters misses its rule", done.stdout)
    written = tmp_path / "runs" / name / "target.yaml"
    header = [line for line in written.read_text().splitlines() if line.startswith("#")]

    assert any("hptransfer.scale_logits(model, plan)" in line for line in header)
    plan, model, plain = load_plan(written), _target(name), _target(name).eval()
    tokens = torch.randint(0, 256, (4, 17), generator=torch.Generator().manual_seed(1))
    scale_logits(model, plan)
    plan.init_(model)
    plain.load_state_dict(model.state_dict())
    model.eval()
    torch.testing.assert_close(model(tokens[:, :-1]).logits, plain(tokens[:, :-1]).logits * 64 / 512)

    optimizer = torch.optim.AdamW(plan.param_groups(model), betas=(0.9, 0.95))
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]

"""Models of transformers whose exports are tried, and Trainer runs of what was written."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.roundtrip.torch import load_module
from tests.support.exported import LLAMA, write_export


def section(config: str, **settings: Any) -> HuggingFaceModel:
    """A `model` section of a recipe."""
    return HuggingFaceModel.model_validate({"kind": "huggingface", "config": config, "settings": settings})


#: Conv1D, learned positions, biases, a table that reads out
GPT2 = section("gpt2", n_embd=64, n_layer=2, n_head=4, n_positions=64, vocab_size=256, bos_token_id=0, eos_token_id=0)
#: biases in queries, keys and values, a table that reads out
QWEN2 = section("qwen2", **{**LLAMA.settings, "tie_word_embeddings": True})
#: a configuration with factors of its own
GRANITE = section("granite", **LLAMA.settings)
_HYBRID = {**LLAMA.settings, "head_dim": 16}
#: state-space layers, whose A_log is computed and not drawn: log of 1, 2, ... heads
FALCON_H1 = section(
    "falcon_h1", **_HYBRID, mamba_d_ssm=64, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=16, mamba_n_groups=1
)
#: likewise, and steps of time whose logarithm is drawn
MAMBA2 = section(
    "mamba2", hidden_size=64, num_hidden_layers=2, vocab_size=256, state_size=16, num_heads=8, head_dim=16, n_groups=1
)
BAMBA = section("bamba", **LLAMA.settings, mamba_n_heads=8, mamba_d_head=16, mamba_d_state=16, mamba_n_groups=1)
#: orthogonal draws, and constants that are lists of numbers
RWKV = section("rwkv", hidden_size=64, num_hidden_layers=2, vocab_size=256, context_length=64)
TIED_LLAMA = section("llama", **{**LLAMA.settings, "tie_word_embeddings": True})


def with_training(target: TargetFile, **training: Any) -> TargetFile:
    """The target with another run: 100 steps of a linear schedule with a tenth of warmup, but for what is said."""
    said = {"steps": 100, "batch_size": 8, "schedule": "linear", "warmup": 0.1, "clip": None} | training
    return target.model_copy(update={"training": TrainingRecord(**said)})


def written(folder: Path, target: TargetFile, edits: dict[str, tuple[str, str]] | None = None) -> ModuleType:
    """The module of an export, imported."""
    return load_module(write_export(folder, "huggingface", target, edits) / "hptransfer_hf.py")


class Windows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Windows of tokens, all the same or each another.

    Args:
        count: how many there are.
        same: whether all are one; the order in which they are drawn is then no part of a run.
    """

    def __init__(self, count: int = 32, *, same: bool = True) -> None:
        generator = torch.Generator().manual_seed(1)
        self.tokens = torch.randint(256, (1 if same else count, 16), generator=generator).expand(count, 16)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


class Text(Windows):
    """Windows of 32 bytes of text: a module of the standard library.

    Args:
        count: how many there are.
        first: window that they begin with.
    """

    def __init__(self, count: int, first: int = 0) -> None:
        source = Path(argparse.__file__).read_bytes()[32 * first : 32 * (first + count)]
        self.tokens = torch.tensor(list(source)).view(count, 32)

"""Targets that Megatron-LM holds, for tests of its export and of what is read of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from hptransfer.artifacts.target import ModelRecord, TargetFile
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import GptModel, HuggingFaceModel
from hptransfer.sizes import Size
from tests.support.exported import BASE, TARGET, llama_target

WIDE = Size(192, 2, 8, 8192)
GPT2 = HuggingFaceModel.model_validate(
    {
        "kind": "huggingface",
        "config": "gpt2",
        "settings": {
            "n_embd": 64, "n_head": 4, "n_layer": 2, "vocab_size": 256, "n_positions": 64,
            "bos_token_id": 0, "eos_token_id": 0,
        },
    }
)  # fmt: skip
GPT = GptModel(kind="gpt", context=8, head_dim=16)
#: what Megatron's switch does by itself, and no more
OF_THE_SWITCH = Options(weight_decay="unscaled", eps="published", decay_vectors=False)
ARGUMENTS, OVERRIDES = "megatron_args.sh", "hptransfer_megatron.py"


@cache
def flags_target() -> TargetFile:
    """A plan that flags alone hold: a wider tied GPT-2 with its 1/sqrt(2 layers), decay as the switch leaves it."""
    return llama_target("mup", size=WIDE, model=GPT2, options=OF_THE_SWITCH)


def with_floor(target: TargetFile, floor: float) -> TargetFile:
    """The same target with a schedule that ends at a share of the peak, after a warmup."""
    assert target.training is not None
    training = target.training.model_copy(
        update={"floor": floor, "schedule": "cosine", "steps": 100, "warmup": 0.1, "clip": 0.5}
    )
    return target.model_copy(update={"training": training})


def external_target(optimizer: str = "adamw", **values: float) -> TargetFile:
    """A target of a program that builds the model itself: no rows."""
    known = {"learning_rate": 0.01, "weight_decay": 0.1, "eps": 1e-8, "beta1": 0.9, "beta2": 0.95, "momentum": 0.9}
    target = plan("mup").model_copy(update={"optimizer": optimizer})
    return target.model_copy(
        update={"parameters": (), "model": ModelRecord(kind="external"), "hyperparameters": known | values}
    )


PLANS: dict[str, dict[str, Any]] = {
    "mup": {"parameterization": "mup", "size": WIDE},
    "mup at the base": {"parameterization": "mup", "size": BASE},
    "completep": {"size": TARGET},
    "completep, depth alone": {"size": Size(64, 4, 8, 8192)},
    "mup, sgd": {"parameterization": "mup", "size": WIDE, "optimizer": "sgd"},
    "mup, decay per step": {"parameterization": "mup", "size": WIDE, "options": Options(weight_decay="independent")},
    "mup, the tables' init": {"parameterization": "mup", "size": WIDE, "init": "rule"},
    "gpt2, completep": {"model": GPT2, "size": TARGET},
    "gpt, mup": {"parameterization": "mup", "size": WIDE, "model": GPT, "init": "rule"},
    "gpt, muon": {"parameterization": "mup", "size": WIDE, "model": GPT, "init": "rule", "optimizer": "muon"},
    "standard": {"parameterization": "standard", "size": WIDE},
}


@cache
def plan(name: str) -> TargetFile:
    """A target of `PLANS`."""
    return llama_target(**PLANS[name])

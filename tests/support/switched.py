"""Targets for formats whose frameworks scale by a switch, in the options that such frameworks have."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.sizes import Size
from tests.support.exported import BASE, LLAMA, llama_target

#: what muP is in these frameworks: decay and eps unscaled, vectors not decayed
AS_SWITCHED = Options(weight_decay="unscaled", eps="none", decay_vectors=False)
#: three times as wide, as deep as the base
WIDER = Size(192, 2, 8, 8192)
#: twice as deep as well
DEEPER = Size(192, 4, 8, 8192)
#: a GPT-2: fused query, key and value, biases, learned positions, a tied table, dropouts
GPT2 = HuggingFaceModel.model_validate(
    {
        "kind": "huggingface",
        "config": "gpt2",
        "settings": {
            "n_embd": 64,
            "n_layer": 2,
            "n_head": 4,
            "vocab_size": 256,
            "n_positions": 64,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    }
)


def switched_target(
    parameterization: str = "mup",
    *,
    size: Size = WIDER,
    options: Options = AS_SWITCHED,
    training: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> TargetFile:
    """A target that frameworks with a switch hold: a cosine over 100 steps that falls to a tenth, clipped at 0.5.

    Args:
        parameterization: name of the rules.
        size: width, depth, batch and tokens of the target.
        options: named choices among published rules.
        training: fields of its `TrainingRecord` that differ.
        arguments: as `llama_target` takes them.
    """
    made = llama_target(parameterization, size=size, options=options, **arguments)
    assert made.training is not None
    changes = {"schedule": "cosine", "steps": 100, "floor": 0.1, "clip": 0.5, **(training or {})}
    return made.model_copy(update={"training": made.training.model_copy(update=changes)})


def without_rows(
    parameterization: str = "mup",
    tuned: tuple[str, ...] = ("learning_rate",),
    size: Size = WIDER,
    **options: bool | str,
) -> TargetFile:
    """A target whose framework applied the rules in the tuned runs, too: hyperparameters, base and size.

    Args:
        parameterization: name of the rules.
        tuned: hyperparameters that were searched.
        size: width, depth, batch and tokens of the target.
        options: what the recipe claims of the rules.
    """
    made = switched_target(parameterization, size=size)
    assert made.training is not None
    return made.model_copy(
        update={
            "parameters": (),
            "options": options,
            "model": None,
            "training": made.training.model_copy(update={"schedule": "own", "warmup": None, "clip": None}),
            "provenance": made.provenance.model_copy(update={"intervals": dict.fromkeys(tuned, (None, None))}),
        }
    )


def _separate_heads() -> HuggingFaceModel:
    return LLAMA.model_copy(update={"settings": {**LLAMA.settings, "num_key_value_heads": 4}})


def _built_once(cases: Mapping[str, Callable[[], TargetFile]]) -> dict[str, Callable[[], TargetFile]]:
    return {name: functools.cache(build) for name, build in cases.items()}


#: case -> its target: what golden values of switched frameworks are recorded of
CASES: Mapping[str, Callable[[], TargetFile]] = _built_once(
    {
        "base": lambda: switched_target(size=BASE),
        "wider": switched_target,
        "wsd": lambda: switched_target(training={"schedule": "wsd", "decay_share": 0.3, "floor": 0.0, "clip": None}),
        "linear": lambda: switched_target(size=Size(128, 2, 8, 8192), training={"schedule": "linear"}, beta2=0.98),
        "constant": lambda: switched_target(training={"schedule": "constant", "floor": 0.0}, weight_decay=0.0),
        "deeper without a rule": lambda: switched_target(size=DEEPER),
        "gpt2": lambda: switched_target(model=GPT2),
        "separate heads": lambda: switched_target(model=_separate_heads()),
    }
)
#: with a rule for the depth
DEEP_CASES: Mapping[str, Callable[[], TargetFile]] = _built_once(
    {
        "completep": lambda: switched_target("completep", size=DEEPER),
    }
)

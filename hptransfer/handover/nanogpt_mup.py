"""A record of nanoGPT-mup's code: what each of its branches makes of a configuration, parameter by parameter.

EleutherAI/nanoGPT-mup applies the rules by itself: branch `master` those of muP (the width), branch `completep` those
of CompleteP as well (the depth). Golden values that its own code returned pin the record (tests/data/nanogpt_mup.json).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.handover.parts import GPT2_NAMES, Names, Part, places
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.rules import Options

#: what the format writes
FILE = "hptransfer_config.py"


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the framework's two codes.

    Attributes:
        name: of its git branch.
        commit: whose code was read, seven digits.
        options: the choices among published rules that its code makes.
    """

    name: str
    commit: str
    options: Options


MASTER = Branch("master", "b2a5e60", Options(weight_decay="unscaled", eps="none", decay_vectors=False))
COMPLETEP = Branch("completep", "6f8bc3b", Options(weight_decay="constant", eps="published", decay_vectors=False))
#: parameterization -> the branch whose code has its rules
BRANCHES: Mapping[str, Branch] = {"mup": MASTER, "completep": COMPLETEP}

#: what `train.py` of both branches sets before any configuration is read
DEFAULTS: Mapping[str, Any] = {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "block_size": 1024,
    "batch_size": 12,
    "gradient_accumulation_steps": 40,
    "bias": False,
    "dropout": 0.0,
    "init_std": 0.02,
    "learning_rate": 6e-4,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
    "max_iters": 600000,
    "decay_lr": True,
    "warmup_iters": 2000,
    "lr_decay_iters": 600000,
    "min_lr": 6e-5,
    "mup_enabled": False,
    "mup_disable_attention_scaling": False,
    "mup_disable_hidden_lr_scaling": False,
    "mup_width_multiplier": 1.0,
    "mup_input_alpha": 1.0,
    "mup_output_alpha": 1.0,
}
#: what that of the branch `completep` sets besides
COMPLETEP_DEFAULTS: Mapping[str, Any] = {
    "adam_eps": 1e-12,
    "depth_alpha_enabled": False,
    "depth_multiplier": 1.0,
    "depth_alpha_exp": 1.0,
}
#: torch's, which `configure_optimizers` of the branch `master` leaves as it is
MASTER_EPS = 1e-8

#: the table reads out, always; nanoGPT calls it by its first name
NAMES: Names = {part: name for part, name in GPT2_NAMES.items() if part is not Part.READOUT}
BIASES = tuple(part for part in NAMES if part.value.endswith("bias"))
MATRICES = (Part.QUERY_KEY_VALUE, Part.ATTENTION_OUT, Part.UP, Part.DOWN)
WRITERS = (Part.ATTENTION_OUT, Part.ATTENTION_OUT_BIAS, Part.DOWN, Part.DOWN_BIAS)


def applied(config: Mapping[str, Any], branch: Branch) -> Iterator[Trained]:
    """What the framework makes of a configuration: `model.py` of a branch, in its own words.

    Args:
        config: every value of `train.py` that is in `DEFAULTS`; for `completep` those of `COMPLETEP_DEFAULTS` too.
        branch: the one whose code runs.
    """
    growth, std = config["mup_width_multiplier"], config["init_std"]
    switched, deep = config["mup_enabled"], branch is COMPLETEP and config["depth_alpha_enabled"]
    grouped = switched and not config["mup_disable_hidden_lr_scaling"]
    width = growth if switched else 1.0
    rate, decay = config["learning_rate"], config["weight_decay"]
    depth = config["depth_multiplier"] ** (config["depth_alpha_exp"] - 1) if deep and grouped else 1.0
    eps = config["adam_eps"] if branch is COMPLETEP else MASTER_EPS
    if deep and grouped:
        eps *= (1 / growth) * config["depth_multiplier"] ** -config["depth_alpha_exp"]
    # CompleteP's code drops GPT-2's smaller draws of what writes the residual stream, where muP is on
    writer = (
        std / math.sqrt(width) if switched and branch is COMPLETEP else std / math.sqrt(2 * config["n_layer"] * width)
    )
    factors = {
        Part.EMBEDDING: config["mup_output_alpha"] / growth if switched else 1.0,
        Part.POSITIONS: config["mup_input_alpha"] if switched else 1.0,
        **dict.fromkeys(WRITERS, config["depth_multiplier"] ** -config["depth_alpha_exp"] if deep else 1.0),
    }
    for part, layer, name in places(NAMES, config["n_layer"]):
        if part in BIASES and not config["bias"]:
            continue
        matrix, table = part in MATRICES, part in (Part.EMBEDDING, Part.POSITIONS)
        drawn = writer if part in (Part.ATTENTION_OUT, Part.DOWN) else std / math.sqrt(width)
        yield Trained(
            name,
            drawn if matrix else std if table else None,
            rate * (1 / growth if matrix and grouped else 1.0) * (1.0 if layer is None else depth),
            (decay * growth if matrix and deep and grouped else decay) if matrix or table else 0.0,
            eps,
            factors.get(part, 1.0),
        )


def branch_named(name: str) -> Branch:
    """The branch whose code has the rules of a parameterization.

    Args:
        name: of the parameterization, perhaps with its exponent.

    Raises:
        UsageError: neither has them.
    """
    branch = BRANCHES.get(name.partition("(")[0])
    if branch is None:
        raise UsageError(
            f"nanoGPT-mup has the rules of {' and '.join(BRANCHES)}",
            received=name,
            hint="choose a format that takes a value for each parameter, such as torch",
        )
    return branch


def factor_of(config: Mapping[str, Any], step: int) -> float:
    """`get_lr` of `train.py` as a share of the peak.

    Args:
        config: as `applied` takes it.
        step: optimizer steps taken before, from 0.
    """
    if not config["decay_lr"]:
        return 1.0
    rising, end = config["warmup_iters"], config["lr_decay_iters"]
    floor = config["min_lr"] / config["learning_rate"]
    if step < rising:
        return float(step / rising)
    if step > end:
        return float(floor)
    return float(floor + (1 - floor) * 0.5 * (1.0 + math.cos(math.pi * (step - rising) / (end - rising))))


def without_open(rows: Iterable[Trained], tuned: frozenset[str]) -> Iterator[Trained]:
    """Rows without what the user's own configuration decides: inits always, decay and eps where they were not tuned.

    Args:
        rows: what the framework trains each parameter with.
        tuned: names of hyperparameters that were.
    """
    for row in rows:
        decay = row.weight_decay if "weight_decay" in tuned else None
        yield replace(row, init_std=None, weight_decay=decay, eps=row.eps if "eps" in tuned else None)

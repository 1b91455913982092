"""nanoGPT-mup: base values and its switches, as assignments for nanoGPT's own configurator.

The framework applies the rules, so base values are written, with how far the size has grown, and nothing is scaled
here. What its code makes of them (handover/nanogpt_mup.py, a record) must be the plan, parameter by parameter; where it
is not, nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.counting import from_zero
from hptransfer.handover.decoder import Decoder, decoder_of
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.nanogpt_mup import (
    BIASES,
    COMPLETEP,
    COMPLETEP_DEFAULTS,
    DEFAULTS,
    FILE,
    NAMES,
    WRITERS,
    Branch,
    applied,
    branch_named,
    without_open,
)
from hptransfer.handover.parts import Part, places
from hptransfer.handover.planned_values import tuned_names
from hptransfer.handover.switched import SwitchedFormat
from hptransfer.handover.trained import Reading, Trained, differences
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization


class _NanoGptMup(SwitchedFormat):
    """`hptransfer_config.py`, the last argument of nanoGPT-mup's `train.py`: base values and its switches."""

    about = About(
        plain=False,
        framework="nanoGPT-mup",
        counted=from_zero,
        read_at="b2a5e60, branch master; 6f8bc3b, branch completep",
        itself="divides hidden rates and logits by the width's growth and hidden inits by its root; on the branch "
        "completep it scales decay, eps, residual branches and the rates inside blocks too. So base values are written "
        "with its switches.",
        executed="nanoGPT-mup at both commits: its configurator, model, init, optimizer and schedule",
        by_hand=(
            "check out the branch named above and name this file last: "
            "`python train.py YOUR_CONFIG.py .../hptransfer_config.py`. What it sets wins over what stands before it; "
            "a key that a checkout does not know is ignored without a word.",
            "the vocabulary comes from meta.pkl beside the data; without it, it is 50304.",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return _planned(target, _branch(target))

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The one file.

        Args:
            target: in the gauge `multipliers`, or without rows.

        Raises:
            UsageError: the framework's code would train something otherwise than planned, which the message names.
        """
        branch = _branch(target)
        config = _config(target, branch)
        _require_same(target, branch, config)
        by_hand = (*self.about.by_hand, *_left(target, config))
        read_at = f"{branch.commit}, branch {branch.name}"
        executed = f"nanoGPT-mup at {branch.commit}: its configurator, model, init, optimizer and schedule"
        about = replace(self.about, read_at=read_at, executed=executed, by_hand=by_hand)
        lines = [f"{key} = {value!r}\n" for key, value in config.items()]
        return {FILE: commented(header(target, "nanogpt-mup", about)) + "\n" + "".join(lines)}


def _branch(target: TargetFile) -> Branch:
    if target.optimizer != "adamw":
        raise UsageError("nanoGPT-mup trains with AdamW", received=target.optimizer, hint="choose another format")
    if any(note.startswith("heads grow") for note in target.notes):
        raise UsageError(
            "heads must keep their size, since nanoGPT-mup scales attention by 1/sqrt(head_dim), as the model does, or "
            "by 1/head_dim at every size, the base included",
            received="a model whose heads grow with its width",
            hint="let the number of heads grow instead",
        )
    return branch_named(target.parameterization)


def _alpha(target: TargetFile) -> float | None:
    """CompleteP's exponent; None where the target does not say it, since the program applies the rules."""
    found = re.search(r"alpha=([0-9.]+)", target.parameterization)
    return float(found[1]) if found else None


# The plan in the framework's names.


def _planned(target: TargetFile, branch: Branch) -> tuple[Trained, ...]:
    if not target.parameters:
        return tuple(_by_the_tables(target, branch))
    decoder = decoder_of(target)
    _require_model(decoder, target)
    return tuple(decoder.in_names(NAMES))


def _by_the_tables(target: TargetFile, branch: Branch) -> Iterator[Trained]:
    """The rules' own values for the framework's model, where the recipe names no model; what was not tuned is open."""
    values = dict(target.hyperparameters)
    options = Options(**target.options).filled(branch.options)  # type: ignore[arg-type]  # checked when it was read
    _require_options(target, branch)
    spec = Parameterization(target.parameterization.partition("(")[0], _alpha(target))
    tuned = tuned_names(target)
    rows = plan(
        spec, target.base, target.size, tuple(_parameters(target)), values, optimizer=target.optimizer,
        gauge="multipliers", options=options,
    ).rows  # fmt: skip
    for row in rows:
        yield Trained(
            row.parameter.name,
            None,
            row.learning_rate,
            row.weight_decay if "weight_decay" in tuned else None,
            row.eps if "eps" in tuned else None,
            row.multiplier,
        )


def _require_options(target: TargetFile, branch: Branch) -> None:
    """What the recipe says that the program does by itself must be what it does."""
    made = {name: choice for name, choice in asdict(branch.options).items() if choice is not None}
    other = {name: target.options[name] for name in made if target.options.get(name, made[name]) != made[name]}
    if other:
        raise UsageError(
            f"the recipe must claim the rules that nanoGPT-mup's branch {branch.name} has",
            received=", ".join(f"{name}: {choice}" for name, choice in other.items()),
            hint="write " + ", ".join(f"`{name}: {str(made[name]).lower()}`" for name in other) + ", or leave it out",
        )


def _parameters(target: TargetFile) -> Iterator[Parameter]:
    """The framework's model without biases, as the rules see it; a token table has as many rows as any."""
    width, base = target.size.width, target.base.width
    lengths = {Part.QUERY_KEY_VALUE: (3, 1), Part.ATTENTION_OUT: (1, 1), Part.UP: (4, 1), Part.DOWN: (1, 4)}
    roles = {Part.EMBEDDING: Role.TIED_EMBEDDING, Part.POSITIONS: Role.EMBEDDING}
    for part, layer, name in places(NAMES, target.size.depth):
        if part in BIASES:
            continue
        if part in lengths:
            out, into = lengths[part]
            role, fans = Role.HIDDEN_WEIGHT, (into * width, out * width, into * base, out * base)
        else:
            role = roles.get(part, Role.OUTER_VECTOR if layer is None else Role.HIDDEN_VECTOR)
            fans = (1, width, 1, base)
        drawn = part in lengths or part in roles
        yield Parameter(
            name, (fans[1], fans[0]) if drawn else (width,), role, *fans, in_block=layer is not None,
            writes_residual=part in WRITERS, init="normal" if drawn else "ones", reason="nanoGPT's",
            base_init_std=1.0 if drawn else None,
        )  # fmt: skip


# What is written.


def _config(target: TargetFile, branch: Branch) -> dict[str, Any]:
    """The assignments, in the order of `train.py`."""
    config: dict[str, Any] = {"n_layer": target.size.depth, "n_embd": target.size.width}
    config |= _own(target) if not target.parameters else _whole(target)
    config |= _schedule(target)
    config |= {
        "mup_enabled": True,
        "mup_disable_hidden_lr_scaling": False,
        "mup_width_multiplier": target.size.width / target.base.width,
    }
    if branch is COMPLETEP:
        config |= {"depth_alpha_enabled": True, "depth_multiplier": target.size.depth / target.base.depth}
        if (alpha := _alpha(target)) is not None:
            config["depth_alpha_exp"] = alpha
    return config


def _own(target: TargetFile) -> dict[str, Any]:
    """What was tuned; all else is in the configuration that the runs had."""
    values, tuned = target.hyperparameters, tuned_names(target)
    keys = {"learning_rate": "learning_rate", "weight_decay": "weight_decay", "beta1": "beta1", "beta2": "beta2"}
    keys["output_multiplier"] = "mup_output_alpha"
    if branch_named(target.parameterization) is COMPLETEP:
        keys["eps"] = "adam_eps"
    lost = [name for name in tuned if name not in keys]
    if lost:
        raise UsageError(
            "only values that nanoGPT-mup has a key for can be written where the recipe names no model",
            received=", ".join(sorted(lost)),
            hint=f"known are {', '.join(keys)}; name the model, or give the command those values by hand",
        )
    batch = {"batch_size": target.size.batch_size, "gradient_accumulation_steps": 1}
    return batch | {key: float(values[name]) for name, key in keys.items() if name in tuned}


def _whole(target: TargetFile) -> dict[str, Any]:
    """Every value of a model that is known."""
    decoder = decoder_of(target)
    _require_model(decoder, target)
    values = target.hyperparameters
    drawn = decoder.row(Part.EMBEDDING).init_std
    config: dict[str, Any] = {} if decoder.heads is None else {"n_head": decoder.heads}
    config |= {} if decoder.context is None else {"block_size": decoder.context}
    config |= {
        "bias": decoder.has(Part.QUERY_KEY_VALUE_BIAS),
        "dropout": _dropouts(decoder, target)[0],
        "batch_size": target.size.batch_size,
        "gradient_accumulation_steps": 1,
        "init_std": drawn,
        "learning_rate": values["learning_rate"],
        "weight_decay": values["weight_decay"],
        "beta1": target.optimizer_values["beta1"],
        "beta2": target.optimizer_values["beta2"],
    }
    if branch_named(target.parameterization) is COMPLETEP:
        config["adam_eps"] = values["eps"]
    # the model divides attention logits by sqrt(head_dim), and heads keep their size
    config |= {"mup_disable_attention_scaling": True, "mup_input_alpha": 1.0}
    return config | {"mup_output_alpha": float(values.get("output_multiplier", 1.0))}


def _schedule(target: TargetFile) -> dict[str, Any]:
    """How long, and how the rate goes; `min_lr` is a rate, which the framework multiplies as it does the peak."""
    training = target.training
    if training is None:
        return {}
    if training.schedule == "own" or training.warmup is None:
        return {"max_iters": training.steps}
    if training.clip is not None and training.clip_norm == "scaled":
        raise UsageError("nanoGPT-mup clips by the global norm", received="clip_norm: scaled", hint="clip_norm: global")
    rising, peak = round(training.warmup * training.steps), target.hyperparameters["learning_rate"]
    floors = {"cosine": training.floor * peak, "constant": peak}
    if training.schedule not in floors:
        raise UsageError(
            "nanoGPT-mup's schedule is a cosine after a warmup, or constant",
            received=training.schedule,
            hint="tune with `schedule: cosine`",
        )
    return {
        "max_iters": training.steps,
        "grad_clip": float(training.clip or 0.0),
        "decay_lr": True,
        "warmup_iters": rising,
        "lr_decay_iters": training.steps,
        "min_lr": floors[training.schedule],
    }


def _left(target: TargetFile, config: Mapping[str, Any]) -> Iterator[str]:
    """What this run needs besides, a sentence each."""
    if not target.parameters:
        yield (
            "the runs had all that is not below from their own configuration: name it before this file, with heads, "
            "init_std, attention, decay and schedule as they were; lr_decay_iters is to follow max_iters."
        )
    else:
        lost = [key for key in ("n_head", "block_size") if key not in config]
        if lost:
            yield f"the recipe does not say {' and '.join(lost)}; heads are as wide as at the base."
        yield "generating text divides no logits by the width's growth: only a forward with targets does."
    if "max_iters" in config:
        predicted = target.prediction is not None and target.prediction.get("loss") is not None
        where = ", on the set that the prediction names" if predicted else ""
        yield (
            f"the loss at iteration {config['max_iters']} is that after as many steps; evaluate there "
            f"(`eval_interval`, `eval_iters`){where}."
        )


# What cannot be held.


def _require_model(decoder: Decoder, target: TargetFile) -> None:
    """The parts and shapes of nanoGPT."""
    biases = [decoder.has(part) for part in BIASES]
    activation = _activation(decoder, target)
    wrong = {
        "a readout of its own, where nanoGPT reads out with its token table": not decoder.tied,
        "some biases and not others": any(biases) and not all(biases),
        f"an MLP of {decoder.feed_forward}, not 4 times the width": decoder.feed_forward != 4 * decoder.width,
        "no learned positions": not decoder.has(Part.POSITIONS),
        f"the activation {activation}, where nanoGPT has gelu": activation not in (None, "gelu"),
        "dropouts that differ, where nanoGPT has one": len(set(_dropouts(decoder, target))) > 1,
    }
    found = [name for name, there in wrong.items() if there]
    if found:
        raise UsageError(
            "the model must be nanoGPT's", received="; ".join(found), hint="choose another format, or train that model"
        )


def _activation(decoder: Decoder, target: TargetFile) -> str | None:
    """Of a model of transformers, by its setting or its family's default; None where nothing says it."""
    if _kind(target) != "huggingface" or target.model is None:
        return None
    key, default = ("activation_function", "gelu_new") if target.model.name == "gpt2" else ("hidden_act", "silu")
    return str(decoder.settings.get(key, default))


def _dropouts(decoder: Decoder, target: TargetFile) -> list[float]:
    """Of transformers' GPT-2, whose default is 0.1; a factory's own are not known, and nanoGPT's default is none."""
    default = 0.1 if _kind(target) == "huggingface" else 0.0
    found = (decoder.settings.get(key) for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop"))
    return [default if value is None else float(value) for value in found]


def _kind(target: TargetFile) -> str:
    return "" if target.model is None else target.model.kind


_WAYS_OUT: Mapping[str, str] = {
    "weight_decay": "`weight_decay: {0.weight_decay}` and `decay_vectors: false` in `parameterization`",
    "eps": "`eps: {0.eps}` in `parameterization` (branch master: and the eps 1e-8)",
    "init_std": "an init of one std, on the branch master smaller by sqrt(2 depth) for what writes the residual "
    "stream, and one depth",
    "learning_rate": "no learning rates of single roles",
    "multiplier": "no multiplier but `output_multiplier`",
}


def _require_same(target: TargetFile, branch: Branch, config: Mapping[str, Any]) -> None:
    """What the framework's code makes of the file must be the plan, parameter by parameter."""
    lost = [name for name in MULTIPLIERS if name != "output_multiplier" and target.hyperparameters.get(name, 1.0) != 1]
    if lost:
        raise UsageError(
            "nanoGPT-mup has one learning rate and one init for all roles",
            received=", ".join(lost),
            hint="choose a format that takes a value for each parameter, such as torch",
        )
    whole = {**DEFAULTS, **(COMPLETEP_DEFAULTS if branch is COMPLETEP else {}), **config}
    planned = _planned(target, branch)
    made = tuple(applied(whole, branch))
    if not target.parameters:
        open_names = tuned_names(target)
        made = tuple(without_open(made, open_names))
    found = differences(planned, Reading(made, branch.name))
    if found:
        quantities = dict.fromkeys(each.quantity for each in found)
        ways = "; ".join(_WAYS_OUT[name].format(branch.options) for name in quantities if name in _WAYS_OUT)
        raise UsageError(
            f"nanoGPT-mup's branch {branch.name} must train every parameter as planned",
            received="; ".join(each.sentence for each in found[:6]),
            hint=f"it holds {ways}" if ways else "choose another format",
        )


EXPORTER = _NanoGptMup()

"""Megatron-LM: scripts that call `pretrain_*.py`, and YAML whose keys are flags."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from hptransfer.linting.foreign._against_plan import Applied, applied_rules, beta2_rule, number
from hptransfer.linting.foreign._commands import last_from, overridden_rule, repeated_rule
from hptransfer.linting.foreign._group_values import base_values, group_rule
from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, RuleForm, Trap
from hptransfer.linting.planned import same
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.shell import UNKNOWN
from hptransfer.linting.reading.text import shown

_PROGRAM = re.compile(r"(^|/)(pretrain|train)_(gpt|bert|t5|mamba|hybrid|vlm|retro|ict|vision\w*)\.py$")
_OWN_FLAGS = frozenset(
    {
        "tensor_model_parallel_size", "pipeline_model_parallel_size", "use_mup", "mup_base_hidden_size",
        "mup_base_head_dim", "use_mcore_models", "transformer_impl", "use_distributed_optimizer",
        "num_layers_per_virtual_pipeline_stage", "decoupled_lr", "lr_wsd_decay_style",
    }
)  # fmt: skip
#: the array of an exported `megatron_args.sh`
ARRAY = "HPTRANSFER_ARGS"
#: flags that an export may set, where the array itself is in another file; a test compares them with the exporter
EXPORTED = frozenset(
    {
        "num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "kv_channels",
        "group_query_attention", "num_query_groups", "seq_length", "max_position_embeddings", "swiglu", "normalization",
        "norm_epsilon", "qk_layernorm", "untie_embeddings_and_output_weights", "disable_bias_linear", "add_qkv_bias",
        "no_bias_gelu_fusion", "position_embedding_type", "rotary_base", "attention_dropout", "hidden_dropout",
        "use_mup", "mup_base_hidden_size", "mup_base_head_dim", "mup_attn_scale_power", "mup_embedding_mult",
        "mup_output_mult", "init_method_std", "embedding_init_method_std", "optimizer", "lr", "weight_decay",
        "adam_beta1", "adam_beta2", "adam_eps", "sgd_momentum", "muon_momentum", "muon_nesterov",
        "muon_coefficient_type", "muon_num_ns_steps", "muon_scale_mode", "muon_extra_scale_factor", "muon_no_split_qkv",
        "muon_scalar_optimizer", "global_batch_size", "train_iters", "min_lr", "clip_grad", "lr_decay_style",
        "lr_decay_iters", "lr_warmup_iters", "lr_wsd_decay_style", "lr_wsd_decay_iters", "decoupled_lr",
        "decoupled_min_lr",
    }
)  # fmt: skip
#: what the header of an export says where all values are final ones of this size, and the switch scales nothing
_FINAL = re.compile(r"base\s+(#\s+)?width\s+(#\s+)?at\s+(#\s+)?this\s+(#\s+)?model's\s+(#\s+)?own")


def _flags(file: ForeignFile) -> dict[str, Setting]:
    """Flags by name: those of a command, or keys of a YAML file that are flags."""
    return {each.name: each for each in file.settings if file.form == "shell" or each.written.startswith("--")}


def _marks(file: ForeignFile) -> tuple[str, ...]:
    programs = [word for word in file.words if _PROGRAM.search(word)]
    flags = _flags(file)
    own = [f"--{name.replace('_', '-')}" for name in flags if name in _OWN_FLAGS]
    both = "micro_batch_size" in flags and "num_layers" in flags
    return (*(shown(word) for word in programs), *own, *(["--micro-batch-size"] if both else []))


class _Command:
    """The flags of one command, as rules ask for them."""

    def __init__(self, file: ForeignFile) -> None:
        self.file, self.flags = file, _flags(file)

    def get(self, name: str) -> Setting | None:
        return self.flags.get(name)

    def number(self, name: str) -> float | None:
        return None if (found := self.flags.get(name)) is None else found.number

    def missing(self, name: str) -> bool:
        return self.file.complete and name not in self.flags

    @property
    def mup(self) -> Setting | None:
        """The switch, where it is on."""
        found = self.flags.get("use_mup")
        return found if found is not None and found.on else None

    @property
    def multiplier(self) -> float | None:
        """What the switch divides by; None where that is not known."""
        if self.final or self.get("mup_base_hidden_size") is None:
            return 1.0
        width, base = self.number("hidden_size"), self.number("mup_base_hidden_size")
        return width / base if width and base else None

    @property
    def final(self) -> bool:
        """Whether the file is an export whose values are those of this size, so that the switch must divide by 1."""
        return self.file.exporter == "megatron" and _FINAL.search(self.file.text) is not None

    @property
    def optimizer(self) -> str:
        found = self.flags.get("optimizer")
        return "adam" if found is None else str(found.value)


def _said(setting: Setting) -> str:
    return shown(setting.written)


def _switch_off(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    given = [each for name, each in command.flags.items() if name.startswith("mup_") and each.certain]
    if given and command.missing("use_mup"):
        yield Trap(given[0].place, f"{_said(given[0])} without --use-mup")


def _no_base_width(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    width = command.number("hidden_size")
    if command.mup is not None and command.final:
        if command.get("mup_base_hidden_size") is None:
            said = "no --mup-base-hidden-size in a file whose values are those of this size"
            yield Trap(command.mup.place, said, _restored(command))
    elif command.mup is not None and command.missing("mup_base_hidden_size"):
        said = f"no --mup-base-hidden-size: it is taken to be {width:g}, and nothing is scaled" if width else ""
        yield Trap(command.mup.place, said or "no --mup-base-hidden-size: nothing is scaled")


def _restored(command: _Command) -> str | None:
    """The hint for a file of final values; None where its width is not known."""
    plan, width = command.file.plan, command.number("hidden_size")
    own = plan.width if plan is not None else width
    return f"restore `--mup-base-hidden-size {own:g}`, the model's own width" if own else None


def _final_values(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    setting, width = command.get("mup_base_hidden_size"), command.number("hidden_size")
    if command.final and setting is not None and width and setting.number not in (None, width):
        yield Trap(setting.place, f"{_said(setting)} with --hidden-size {width:g}", _restored(command))


def _no_head_dim(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    if command.mup is not None and command.missing("mup_base_head_dim") and command.number("mup_attn_scale_power") in (
        None, 1.0,
    ):  # fmt: skip
        yield Trap(command.mup.place, "no --mup-base-head-dim: logits of attention are multiplied by 1/head_dim")


def _decoupled(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    setting = command.get("decoupled_lr")
    if command.mup is not None and setting is not None:
        yield Trap(setting.place, _said(setting))


def _decoupled_floor(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    rate, floor = command.get("decoupled_lr"), command.number("min_lr")
    if rate is None or not floor or not command.missing("decoupled_min_lr"):
        return
    main, own = command.number("lr"), rate.number
    if main and own and not same(main, own):
        ratio = number(floor / main * own)
        yield Trap(rate.place, f"{_said(rate)}, and no --decoupled-min-lr", f"add `--decoupled-min-lr {ratio}`")


def _width_mult(file: ForeignFile) -> Iterator[Trap]:
    if (setting := _Command(file).get("mup_width_mult")) is not None:
        yield Trap(setting.place, _said(setting))


def _output_mult(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    setting = command.get("mup_output_mult")
    multiplier = command.multiplier
    if command.mup is not None and setting is not None and setting.number == 1 and multiplier not in (None, 1.0):
        yield Trap(setting.place, f"{_said(setting)}, which becomes {number(1 / (multiplier or 1.0))}")


def _std_by_hand(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    setting, embedding = command.get("init_method_std"), command.number("embedding_init_method_std")
    multiplier = command.multiplier
    if command.mup is None or setting is None or multiplier in (None, 1.0) or not setting.number:
        return
    if same(embedding, setting.number * math.sqrt(multiplier or 1.0)):
        yield Trap(setting.place, f"{_said(setting)}, {number(embedding or 0.0)} over the root of the multiplier")


def _muon_momentum(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    setting = command.get("optimizer")
    if setting is not None and "muon" in command.optimizer and command.missing("muon_momentum"):
        yield Trap(setting.place, f"{_said(setting)} without --muon-momentum: 0.9 from the command line")


def _muon_scale(file: ForeignFile) -> Iterator[Trap]:
    command = _Command(file)
    if command.mup is None or "muon" not in command.optimizer:
        return
    mode = command.get("muon_scale_mode")
    if mode is not None and mode.value == "spectral":
        yield Trap(mode.place, _said(mode))
    elif command.missing("muon_scale_mode"):
        yield Trap((command.get("optimizer") or command.mup).place, "no --muon-scale-mode: spectral")


def _plan_sizes(file: ForeignFile) -> Iterator[Trap]:
    command, plan = _Command(file), file.plan
    if plan is None:
        return
    pairs = [("hidden_size", plan.width), ("num_layers", plan.depth)]
    if command.mup is not None and command.multiplier != 1:  # at 1 it scales nothing, and values of this size are meant
        pairs.append(("mup_base_hidden_size", plan.base_width))
    for name, planned in pairs:
        setting = command.get(name)
        if setting is not None and setting.number is not None and setting.number != planned:
            yield Trap(setting.place, f"{_said(setting)}, planned {planned}")


def _replaced(file: ForeignFile) -> Iterator[Trap]:
    for setting in file.replaced:
        yield Trap(setting.place, f"{_said(setting)}: what it held before is lost")


def _is_exported(file: ForeignFile, name: str) -> bool:
    """Whether the exported array sets a flag: as it stands in the script, or else as an export may."""
    known = [word for word, source in zip(file.words, file.sources, strict=True) if source == ARRAY]
    own = {word[2:].partition("=")[0].replace("-", "_") for word in known if word.startswith("--")}
    return name in (EXPORTED if UNKNOWN in known else own)


def _run(flags: str) -> str:
    return "torchrun pretrain_gpt.py --num-layers 2 \\\n    " + flags.replace(" --", " \\\n    --") + "\n"


def _final(base: int, rate: float = 0.01) -> str:
    """An export of final values, shortened."""
    said = "By itself Megatron-LM: --use-mup stands with its base width at this model's own, where it scales nothing"
    flags = f"  --num-layers 2\n  --hidden-size 1024\n  --use-mup\n  --mup-base-hidden-size {base}\n  --lr {rate}\n"
    return f"# Written by hptransfer for Megatron-LM (format megatron; read at 1).\n# {said}.\n{ARRAY}=(\n{flags})\n"


def _last_exported(file: ForeignFile) -> int | None:
    return last_from(file, ARRAY)


_rule = RuleForm("megatron", "run.sh", _run)
_BASE = "--hidden-size 1024 --use-mup --mup-base-hidden-size 256 --mup-base-head-dim 64"
_APPLIED = Applied(
    "megatron",
    lambda file: _Command(file).mup is not None,
    "lr",
    "init_method_std",
    lambda file: _Command(file).multiplier,
    lambda file: _Command(file).final,
)

FRAMEWORK = Framework(
    "Megatron-LM: scripts that call it, with their arrays and variables, and YAML whose keys are flags.",
    "d98e8a64",
    _marks,
    (
        _rule(
            "mup-switched-off",
            "flags of muP are given with `--use-mup`",
            "Without the switch they are read and do nothing.",
            "add `--use-mup`, or delete the flags that begin with `--mup-`",
            "--hidden-size 1024 --mup-base-hidden-size 256 --mup-base-head-dim 64",
            _BASE,
            "--mup-base-hidden-size",
            _switch_off,
        ),
        _rule(
            "mup-base-hidden-size",
            "`--use-mup` is given with `--mup-base-hidden-size`",
            "Without it the base is the model itself: the width multiplier is 1 and nothing is scaled, silently.",
            "add `--mup-base-hidden-size N`, the width that the rate was tuned at; at the base size it changes nothing",
            "--hidden-size 1024 --use-mup --mup-base-head-dim 64",
            _BASE,
            "--use-mup",
            _no_base_width,
            "warning",
        ),
        _rule(
            "mup-base-head-dim",
            "`--use-mup` is given with `--mup-base-head-dim`",
            "Without it attention multiplies by 1/head_dim, where the base model multiplied by 1/sqrt(head_dim): the "
            "run at the base size is another model than the one without the switch.",
            "add `--mup-base-head-dim D`, the head_dim (kv channels) of the base; where the proxy was tuned with the "
            "switch and without this flag, leave it so",
            "--hidden-size 1024 --use-mup --mup-base-hidden-size 256",
            _BASE,
            "--use-mup",
            _no_head_dim,
            "warning",
        ),
        _rule(
            "mup-decoupled-lr",
            "`--decoupled-lr` is not given with `--use-mup`",
            "It sets one absolute rate for embedding and output together, and muP then leaves those two alone: an "
            "untied output is no longer scaled.",
            "delete `--decoupled-lr`, or tune it as a rate of its own at every size",
            f"{_BASE} --lr 1e-2 --decoupled-lr 1e-2",
            f"{_BASE} --lr 1e-2",
            "--decoupled-lr",
            _decoupled,
            "warning",
        ),
        _rule(
            "decoupled-min-lr",
            "`--decoupled-lr` with a `--min-lr` is given with `--decoupled-min-lr`",
            "The lowest rate of embedding and output is then that of the others, so the ratio of the two rates is not "
            "kept while they decay.",
            "add `--decoupled-min-lr` in the ratio of `--min-lr` to `--lr`",
            "--lr 1e-3 --min-lr 1e-4 --decoupled-lr 1e-2",
            "--lr 1e-3 --min-lr 1e-4 --decoupled-lr 1e-2 --decoupled-min-lr 1e-3",
            "--decoupled-lr",
            _decoupled_floor,
            "warning",
        ),
        _rule(
            "mup-width-mult",
            "`--mup-width-mult` is not given",
            "It is overwritten with hidden size over base hidden size.",
            "delete it, and give `--mup-base-hidden-size`",
            f"{_BASE} --mup-width-mult 4",
            _BASE,
            "--mup-width-mult",
            _width_mult,
            "warning",
        ),
        _rule(
            "mup-output-mult",
            "`--mup-output-mult` is not exactly 1",
            "Exactly 1 means that nothing was given, and becomes 1 over the width multiplier.",
            "delete it where that is meant; a factor of 1 cannot be given, 1.0000001 can",
            f"{_BASE} --mup-output-mult 1.0",
            _BASE,
            "--mup-output-mult",
            _output_mult,
            "warning",
        ),
        _rule(
            "init-by-hand",
            "`--init-method-std` is the base's with `--use-mup`",
            "It is exactly the embedding's std over the root of the width multiplier, which the switch divides by too.",
            "give `--init-method-std` of the base size, as `--embedding-init-method-std` is",
            f"{_BASE} --init-method-std 0.01 --embedding-init-method-std 0.02",
            f"{_BASE} --init-method-std 0.02 --embedding-init-method-std 0.02",
            "--init-method-std",
            _std_by_hand,
            "warning",
        ),
        _rule(
            "muon-momentum",
            "`--optimizer muon` is given with `--muon-momentum`",
            "The command line takes 0.9 where nothing is said, the library's own configuration 0.95.",
            "add `--muon-momentum` with the value that was tuned",
            "--optimizer muon --muon-scale-mode unit_rms_norm",
            "--optimizer muon --muon-scale-mode unit_rms_norm --muon-momentum 0.95",
            "--optimizer",
            _muon_momentum,
            "warning",
        ),
        _rule(
            "muon-scale-mode",
            "Muon with `--use-mup` is given `--muon-scale-mode unit_rms_norm`",
            "`spectral`, the default, multiplies by sqrt(max(out, in)), which grows with the width.",
            "give `--muon-scale-mode unit_rms_norm`, in the proxy's runs too",
            f"{_BASE} --optimizer muon --muon-momentum 0.95",
            f"{_BASE} --optimizer muon --muon-momentum 0.95 --muon-scale-mode unit_rms_norm",
            "--optimizer",
            _muon_scale,
            "warning",
        ),
        _rule(
            "plan-sizes",
            "sizes are those of the plan",
            "The width multiplier is hidden size over base hidden size; with other sizes it is not the plan's.",
            "give the plan's sizes, or write a plan for these with `hptransfer scale`",
            "--hidden-size 1024 --use-mup --mup-base-hidden-size 512 --mup-base-head-dim 64",
            _BASE,
            "--mup-base-hidden-size",
            _plan_sizes,
            needs_plan=True,
        ),
        ForeignRule(
            "megatron/final-values",
            "where an export has final values, `--mup-base-hidden-size` is the model's own width",
            "Megatron would divide values that are scaled already; the file's header says that they are final.",
            "restore `--mup-base-hidden-size` with the value of `--hidden-size`",
            Example(_final(256), _final(1024), "--mup-base-hidden-size", "megatron_args.sh"),
            _final_values,
        ),
        group_rule(
            "megatron",
            Example(_final(1024, 0.00125), _final(1024), "--lr", "megatron_args.sh"),
            lambda file: base_values(file, "lr"),
        ),
        overridden_rule(
            "megatron",
            '`"${HPTRANSFER_ARGS[@]}"`',
            "put it in front of the array, or delete it",
            Example(
                'torchrun pretrain_gpt.py "${HPTRANSFER_ARGS[@]}" --lr 0.003\n',
                'torchrun pretrain_gpt.py --lr 0.003 "${HPTRANSFER_ARGS[@]}" --save out\n',
                "--lr",
                "run.sh",
            ),
            _last_exported,
            _is_exported,
        ),
        repeated_rule(
            "megatron",
            Example(_run("--lr 0.01 --lr 0.001"), _run("--lr 0.01 --lr 1e-2"), "--lr 0.001", "run.sh"),
            _last_exported,
        ),
        ForeignRule(
            "megatron/replaced-array",
            "an array of flags is assigned once, then added to",
            "A second assignment throws away what the first one held, before anything used it.",
            "write `+=` where both are meant, or delete the first",
            Example(
                'ARGS=(--num-layers 2 --lr 0.01)\nARGS=(--lr 0.1)\ntorchrun pretrain_gpt.py "${ARGS[@]}"\n',
                'ARGS=(--num-layers 2 --lr 0.01)\nARGS+=(--seed 1)\ntorchrun pretrain_gpt.py "${ARGS[@]}"\n',
                "--lr 0.1)",
                "run.sh",
            ),
            _replaced,
            "warning",
        ),
        *applied_rules(
            _APPLIED,
            Example(_run(f"{_BASE} --lr 0.0025"), _run(f"{_BASE} --lr 0.01"), "--lr", "run.sh"),
            Example(_run("--hidden-size 1024 --lr 0.01"), _run(f"{_BASE} --lr 0.01"), "--lr", "run.sh"),
            Example(
                _run(f"{_BASE} --init-method-std 0.01"),
                _run(f"{_BASE} --init-method-std 0.02"),
                "--init-method-std",
                "run.sh",
            ),
        ),
        beta2_rule(
            "megatron",
            "adam_beta2",
            0.999,
            lambda file: file.form == "shell" and _Command(file).optimizer == "adam",
            Example(_run("--lr 3e-3"), _run("--lr 3e-3 --adam-beta2 0.95"), "--num-layers", "run.sh"),
        ),
    ),
)

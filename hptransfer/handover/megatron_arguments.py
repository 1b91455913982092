"""The exported array of arguments, as bash and argparse take it: what is of another form than written is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hptransfer.errors import Place, UsageError
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.megatron import DEFAULTS, WHOLE, Flags
from hptransfer.handover.switched import unlike
from hptransfer.handover.trained import Difference

_OPEN = "HPTRANSFER_ARGS=("
#: a word in which bash expands nothing: plain characters and quoted stretches side by side
_WORD = r"""(?:[A-Za-z0-9_@%+=:,./-]|'[^']*'|"[^"$`\\!]*")+"""
_LINE = re.compile(rf"[ \t]*(?P<words>{_WORD}(?:[ \t]+{_WORD})*)?[ \t]*(?:(?<![^ \t])#.*)?")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")


def array_words(path: Path) -> list[str]:
    """The words of the array; no shell is run.

    Args:
        path: of the `megatron_args.sh` that is read.

    Raises:
        UsageError: the file is missing or no text, or it holds anything but comments and one array of literal words.
    """
    text = exported_text(path)
    return words_of(text, str(path))


def words_of(text: str, name: str) -> list[str]:
    """As `array_words`, of the file's text.

    Args:
        text: of the whole exported file.
        name: of the file, for the messages.

    Raises:
        UsageError: it holds anything but comments and one array of literal words.
    """
    words: list[str] = []
    opened = closed = 0
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip(" \t")
        if opened > closed:
            if bare == ")":
                closed += 1
                continue
            found = _LINE.fullmatch(line)
            if found is None:
                raise _refused(
                    "a line of the array must hold plain words, nothing that bash expands", name, number, line
                )
            # quotes keep blanks together, so words are found one by one
            words += [_QUOTED.sub(r"\1\2", word) for word in re.findall(_WORD, found["words"] or "")]
        elif bare == _OPEN and not opened:
            opened += 1
        elif bare and not bare.startswith("#"):
            raise _refused("the file must hold comments and one array, `HPTRANSFER_ARGS=(` to `)`", name, number, line)
    if not opened or opened > closed:
        raise UsageError(
            "the file must hold the array that was written, `HPTRANSFER_ARGS=(` to `)`, each on a line of its own",
            received=f"{name}: {'no end of it' if opened else 'no such line'}",
            hint="export again",
        )
    return words


def _refused(rule: str, name: str, number: int, line: str) -> UsageError:
    return UsageError(
        rule,
        received=line.strip()[:80],
        hint="export again; flags of your own belong into your own command, before this array",
        place=Place(name, number),
    )


#: numbers of layers of which a record is made
_MOST_LAYERS = 4096
_SHARES = ("adam-beta1", "adam-beta2", "sgd-momentum", "muon-momentum", "attention-dropout", "hidden-dropout")
_POSITIVE = ("lr", "norm-epsilon", "mup-base-head-dim", "muon-extra-scale-factor")
_SIGNED = ("mup-output-mult", "mup-embedding-mult", "mup-attn-scale-power")
#: flags with words for values -> those whose rules the record has
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "normalization": ("LayerNorm", "RMSNorm"),
    "position-embedding-type": ("learned_absolute", "rope"),
    "optimizer": ("adam", "sgd", "muon"),
    "lr-decay-style": ("constant", "linear", "cosine", "inverse-square-root", "WSD"),
    "lr-wsd-decay-style": ("linear", "cosine", "exponential", "minus_sqrt"),
    "muon-scale-mode": ("spectral", "unit_rms_norm", "shape_scaling"),
    "muon-scalar-optimizer": ("adam",),
}


def require_usable(flags: Flags) -> None:
    """What Megatron-LM stops at, and what no record is made of.

    Args:
        flags: all that the file has.

    Raises:
        UsageError: a value is missing or out of its range; the message has the flag's name.
    """
    missing = [name for name in ("num-layers", "hidden-size", "lr") if flags[name] is None]
    if missing:
        raise UsageError("Megatron-LM must be given its sizes and its rate", received=f"no --{', --'.join(missing)}")
    for name, value in flags.items():
        if (rule := _broken(name, value)) is not None:
            raise UsageError(f"`--{name}` must be {rule}", received=str(value), hint="export again")
    _require_schedule(flags)
    if flags["num-attention-heads"] is not None and flags.head_dim < 1:
        raise UsageError(
            "`--num-attention-heads` must be at most the width", received=str(flags["num-attention-heads"])
        )


def _broken(name: str, value: Any) -> str | None:
    """The rule that a value breaks; None where it breaks none."""
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"one of {', '.join(_CHOICES[name])}"
    if isinstance(value, str | bool):
        return None
    if name in WHOLE:
        least = 0 if name in ("lr-warmup-iters", "lr-wsd-decay-iters") else 1
        most = _MOST_LAYERS if name == "num-layers" else 2**31 - 1
        return None if least <= value <= most else f"a whole number from {least} to {most}"
    if not math.isfinite(value):
        return "a finite number"
    kept = {
        "at least 0 and below 1": name not in _SHARES or 0 <= value < 1,
        "positive": name not in _POSITIVE or value > 0,
        "at least 0": name in _SIGNED or value >= 0,
    }
    return next((rule for rule, holds in kept.items() if not holds), None)


def _require_schedule(flags: Flags) -> None:
    style, whole = flags["lr-decay-style"], flags["lr-decay-iters"] or flags["train-iters"]
    if whole is None:
        return
    if flags["lr-warmup-iters"] >= whole:
        raise UsageError(
            "`--lr-warmup-iters` must be below `--lr-decay-iters`, or Megatron-LM stops",
            received=f"{flags['lr-warmup-iters']} of {whole}",
        )
    asked = {"WSD": "lr-wsd-decay-iters", "inverse-square-root": "global-batch-size"}.get(style)
    if asked is not None and flags[asked] is None:
        raise UsageError(f"`--lr-decay-style {style}` must have `--{asked}` beside it", received="none")
    if style == "WSD" and flags["lr-wsd-decay-iters"] > whole:
        raise UsageError(
            "`--lr-wsd-decay-iters` must be at most `--lr-decay-iters`", received=str(flags["lr-wsd-decay-iters"])
        )


def apart(flags: Flags, written: Flags, names: Iterable[str]) -> list[Difference]:
    """Flags that are not as an exporter writes them.

    Args:
        flags: all that the file has.
        written: what the plan's export has.
        names: of the flags that are compared.
    """
    asked = tuple(names)
    used, planned = ({f"--{name}": _said(each[name]) for name in asked} for each in (flags, written))
    return unlike(used, planned, lambda _: False)


def _said(value: Any) -> Any:
    if value is None:
        return "not given"
    return ("set" if value else "not set") if isinstance(value, bool) else value


#: flags that are compared by what they come to: rows, factors and schedule
SAID_BY_ROWS = frozenset(
    name
    for name in DEFAULTS
    if name.startswith(("mup-", "lr-"))
    or name
    in {
        "use-mup", "init-method-std", "embedding-init-method-std", "lr", "min-lr", "weight-decay", "adam-eps",
        "optimizer", "muon-scale-mode", "muon-extra-scale-factor", "disable-bias-linear", "add-qkv-bias",
        "qk-layernorm", "untie-embeddings-and-output-weights", "normalization", "position-embedding-type",
    }
) - {"lr-warmup-init"}  # fmt: skip

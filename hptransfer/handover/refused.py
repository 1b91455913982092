"""Frameworks that cannot train a plan with a rate per role from their configuration: why, and what can be done.

Read in their sources at the commits named; none of it was executed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hptransfer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Refused:
    """A framework that nothing is written for.

    Attributes:
        framework: its name, for people.
        read_at: commit or version whose code was read.
        reason: what of a plan its configuration cannot hold, and what it would do instead.
        way_out: what a user can do, one sentence.
    """

    framework: str
    read_at: str
    reason: str
    way_out: str


_CODE = (
    "build the optimizer from the plan in its training code: `hptransfer.load_plan(...).param_groups(model)`, or the "
    "groups that `--format torch` writes"
)

#: name as users type it -> the refusal
REFUSED: Mapping[str, Refused] = {
    "nanotron": Refused(
        "nanotron",
        "2411b022",
        "its YAML has one learning rate for all parameters; `use_mup` there applies the SGD form of the spectral rule "
        "(rate times fan_out / fan_in) with AdamW as well and has no base width, and `min_decay_lr` is absolute",
        _CODE,
    ),
    "litgpt": Refused(
        "litgpt",
        "0.5.13 (26857050)",
        "its optimizer has one group, pretrain.py sets the same rate in every group at each step (down to an absolute "
        "`min_lr`), and its init is fixed in the code",
        "train with a framework that keeps a rate per group, such as `--format huggingface` or `--format torchtitan`",
    ),
    "gpt-neox": Refused(
        "GPT-NeoX",
        "ea7aefd8",
        "with `use_mup` its schedule overwrites the rates of mup's optimizer at the first step: it divides only groups "
        "that have `width_mult`, a key that nothing there sets",
        "leave `use_mup` out and train the standard parameterization there, or train with `--format megatron`",
    ),
    "lingua": Refused(
        "lingua",
        "437d680",
        "its optimizer has one AdamW group that decays everything; its init has one std and one factor of the depth",
        _CODE,
    ),
    "maxtext": Refused(
        "MaxText",
        "0.2.5 (e591f30c)",
        "it has one learning rate for all parameters, and no init by role",
        "change its optimizer by optax.multi_transform with the values of `--format yaml`",
    ),
}


def require_possible(name: str) -> None:
    """A framework that is known to be unable must be refused with the reason, not as an unknown name.

    Args:
        name: of a format, as users type it.

    Raises:
        UsageError: nothing is written for the framework.
    """
    folded = name.casefold().replace("_", "-")
    found = next((each for known, each in REFUSED.items() if folded in (known, known.replace("-", ""))), None)
    if found is not None:
        raise UsageError(
            "a framework must be able to hold a learning rate for each role of parameters",
            received=f"{found.framework} (read at {found.read_at}): {found.reason}",
            hint=found.way_out,
        )

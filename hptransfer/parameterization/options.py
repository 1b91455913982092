"""Where published implementations disagree, the choice has a name; a plan prints it and what else exists."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

WeightDecay = Literal["unscaled", "constant", "independent", "sqrt", "inverse"]
Eps = Literal["gradient", "published", "none"]
BatchRuleName = Literal["sde", "linear", "none"]
Betas = Literal["linear", "half-life", "none"]
MuonScale = Literal["original", "match_rms_adamw", "spectral", "none"]


@dataclass(frozen=True, slots=True)
class Options:
    """Named choices among published rules; None takes the default of the parameterization's table.

    Attributes:
        weight_decay: how the coefficient follows the learning rate; see `CHOICES`.
        eps: how Adam's eps follows the gradients' size.
        token_exponent: x in learning_rate * m_D^-x, at a fixed batch; a table without a duration rule scales nothing
            else with it.
        batch_rule: what follows the batch size.
        betas: how Adam's betas follow batch and duration, where the batch rule moves them.
        muon_scale: the factor of a matrix's shape that the Muon implementation in use applies by itself.
        beside_muon: optimizer of embeddings, readouts and vectors where Muon trains the matrices.
    """

    weight_decay: WeightDecay | None = None
    eps: Eps | None = None
    token_exponent: float | None = None
    batch_rule: BatchRuleName | None = None
    betas: Betas | None = None
    muon_scale: MuonScale | None = None
    beside_muon: Literal["adamw", "lion"] | None = None

    def filled(self, defaults: Options) -> Options:
        """These choices, with defaults where none was made."""
        chosen = {
            field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) is not None
        }
        return replace(defaults, **chosen)


#: choices of `weight_decay` whose base value is the decay per step, for every parameter
PER_STEP = frozenset({"independent", "inverse"})

#: option -> choice -> what it means and who uses it
CHOICES: Mapping[str, Mapping[str, str]] = {
    "weight_decay": {
        "unscaled": "the coefficient keeps its base value, so the decay per step shrinks with the learning rate "
        "(nanoGPT-mup master, Megatron-LM use_mup, Cerebras modelzoo)",
        "constant": "learning_rate * weight_decay does not change with the width (microsoft/mup MuAdamW, CompleteP, "
        "Complete(d)P, arXiv 2405.13698)",
        "independent": "the base value is the decay per step at the peak and holds for every parameter and size: the "
        "coefficient is weight_decay / learning_rate (unit-scaling, nanodo, arXiv 2510.19093); unlike `constant` it "
        "does not move when the learning rate is swept",
        "sqrt": "m_in^0.5 for hidden weights and no decay elsewhere, so the decay per step falls as m_in^-0.5 "
        "(arXiv 2510.15262)",
        "inverse": "decay per step, as in `independent`, times 1/m_in for hidden weights (arXiv 2512.05620, where "
        "tokens grow with the model)",
    },
    "eps": {
        "gradient": "follows the size of each role's gradient in the form in use (derived, exponents measured)",
        "published": "as the parameterization's paper or code prints it",
        "none": "one value everywhere (microsoft/mup, Cerebras modelzoo, torchtitan)",
    },
    "batch_rule": {
        "sde": "Adam, the same tokens: learning rate m_B^0.5, eps m_B^-0.5, 1 - beta m_B (arXiv 2205.10287), weight "
        "decay m_B^0.5 (arXiv 2411.15958)",
        "linear": "SGD, the same tokens: learning rate m_B (arXiv 1706.02677)",
        "none": "base values are kept (Tensor Programs V: the learning rate carries over at a fixed number of steps)",
    },
    "betas": {
        "linear": "1 - beta times m_B (Complete(d)P: m_B / m_D); an error where it leaves [0, 1)",
        "half-life": "beta^m_B (Complete(d)P: beta^(m_B / m_D)): the same to first order, and always inside [0, 1)",
        "none": "betas keep their base values",
    },
    "muon_scale": {
        "original": "sqrt(max(1, fan_out/fan_in)): torch's default, Keller Jordan; `shape_scaling` in Megatron-LM",
        "match_rms_adamw": "0.2 sqrt(max(fan_out, fan_in)): torch's `match_rms_adamw`, Moonshot; `rms_norm` in dion, "
        "`align_adamw_rms` in ArchScale, `spectral` (without 0.2) in Megatron-LM",
        "spectral": "sqrt(fan_out/fan_in): `spectral_norm` in dion, `unit_rms_norm` in Megatron-LM, `spectral_mup` in "
        "ArchScale",
        "none": "no factor of the shape",
    },
    "beside_muon": {
        "adamw": "embeddings, readouts and vectors follow the Adam table",
        "lion": "embeddings, readouts and vectors follow the sign table; dion scales a Lion readout by 1/sqrt(fan_in) "
        "instead",
    },
}

#: published exponents x of learning_rate * m_D^-x at a fixed batch; they disagree
TOKEN_EXPONENTS: Mapping[str, str] = {
    "0.5": "Complete(d)P (arXiv 2512.22382)",
    "0.32": "arXiv 2409.19913, where sizes range over 0.3 to 0.7; ArchScale with MuonH",
    "0.3": "marin, completed_adamh",
    "-0.307": "Step Law: the rate RISES with tokens, along a batch that grows as tokens^0.571",
}


def explain_choice(option: str, chosen: str, known: Collection[str]) -> str:
    """What a choice means, and the names of the others that are known.

    Args:
        option: name of the option, a key of `CHOICES`.
        chosen: the choice that was made.
        known: choices that the table knows.
    """
    others = ", ".join(f"`{name}`" for name in CHOICES[option] if name != chosen and name in known)
    return f"`{chosen}`, {CHOICES[option][chosen]}" + (f"; also published: {others}" if others else "")

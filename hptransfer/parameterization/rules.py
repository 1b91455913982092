"""What a rule is: (role, quantity) -> powers of the size's multipliers, with the place it was published; `Options`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Literal

from hptransfer.parameterization.roles import Role

# Where published implementations disagree, the choice has a name; a plan prints it and what else exists.

WeightDecay = Literal["unscaled", "constant", "independent", "sqrt", "inverse"]
Eps = Literal["gradient", "published", "none"]
BatchRuleName = Literal["sde", "linear", "none"]
Betas = Literal["linear", "half-life", "none"]
MuonScale = Literal["original", "match_rms_adamw", "spectral", "none"]
BesideMuon = Literal["adamw", "lion"]
UpdateRank = Literal["full", "fixed"]
Timescale = Literal["held"]
#: those of torch.optim.Muon, which recipes train with
TorchMuonScale = Literal["original", "match_rms_adamw"]


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
        update_rank: on a sphere (AdamH, MuonH), in how many directions an update moves a matrix as the width grows.
        decay_vectors: whether gains, biases and other vectors are decayed; None decays them.
        decay_timescale: what weight decay keeps where batch or tokens change; None: what its rule makes of it.
    """

    weight_decay: WeightDecay | None = None
    eps: Eps | None = None
    token_exponent: float | None = None
    batch_rule: BatchRuleName | None = None
    betas: Betas | None = None
    muon_scale: MuonScale | None = None
    beside_muon: BesideMuon | None = None
    update_rank: UpdateRank | None = None
    decay_vectors: bool | None = None
    decay_timescale: Timescale | None = None

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
    "update_rank": {
        "full": "an update of one norm is spread over min(fan_in, fan_out) directions, so one relative rate serves "
        "every width (Hyperball, HyperP, marin); it needs gradients whose rank grows with the width",
        "fixed": "the directions in which an update moves do not grow with the width, as in the limit of a fixed "
        "batch (full alignment), so the relative rate falls as m_in^-0.5 (derived)",
    },
    "decay_timescale": {
        "held": "weight decay follows batch and tokens so that the share of the run over which it averages, batch / "
        "(learning rate * weight decay * tokens), stays what it is at the base (arXiv 2405.13698; at more tokens per "
        "parameter arXiv 2505.13738 finds a smaller share best)",
    },
}

#: choice of `muon_scale` -> the factor of (outputs, inputs) that the optimizer multiplies a learning rate with
SHAPE_FACTORS: Mapping[str, Callable[[int, int], float]] = {
    "original": lambda fan_out, fan_in: max(1.0, fan_out / fan_in) ** 0.5,
    "match_rms_adamw": lambda fan_out, fan_in: 0.2 * max(fan_out, fan_in) ** 0.5,
    "spectral": lambda fan_out, fan_in: (fan_out / fan_in) ** 0.5,
    "none": lambda fan_out, fan_in: 1.0,
}
#: choices of `muon_scale` that torch.optim.Muon applies, by the names of its `adjust_lr_fn`
IN_TORCH: frozenset[str] = frozenset({"original", "match_rms_adamw"})

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


#: optimizers that share one set of rules. "adam" normalises the gradient entry by entry, "sign" takes its sign,
#: "sgd" follows its size, "orthogonal" takes its matrix's polar factor (Muon), "adafactor" moves a weight relative to
#: its own size; on a sphere a matrix keeps its norm and moves relative to it, along Adam's direction ("sphere", AdamH)
#: or the polar factor ("orthogonal-sphere", MuonH)
OptimizerFamily = Literal["adam", "sign", "sgd", "orthogonal", "adafactor", "sphere", "orthogonal-sphere"]
#: those that train hidden weights and leave embeddings, readouts and vectors to another optimizer
HIDDEN_ONLY: frozenset[OptimizerFamily] = frozenset({"orthogonal", "sphere", "orthogonal-sphere"})
#: those that keep a matrix's norm, so that nothing can decay and nothing can start at zero
ON_SPHERE: frozenset[OptimizerFamily] = frozenset({"sphere", "orthogonal-sphere"})
#: those whose decay shrinks a weight by rate * decay per step beside an update of a size of its own, so that the weight
#: is an average of updates; SGD's update and Adafactor's follow the gradient's and the weight's size
DECOUPLED: frozenset[OptimizerFamily] = frozenset({"adam", "sign", "orthogonal"})
#: those whose steps depend on an eps that is compared with the gradient
WITH_EPS: frozenset[OptimizerFamily] = frozenset({"adam", "sphere"})

#: the names in which rules are printed
SYMBOLS = {
    "fan_in": "m_in",
    "fan_out": "m_out",
    "larger": "m_max",
    "width": "m_N",
    "depth": "m_L",
    "layers": "m_L",
    "batch": "m_B",
    "tokens": "m_D",
}
#: of a table without a base size
ABSOLUTE_SYMBOLS = SYMBOLS | {"fan_in": "fan_in", "fan_out": "fan_out", "larger": "max(fan)", "depth": "depth"}


class Quantity(StrEnum):
    """What a rule scales; `multiplier` is the factor that `forward` applies to a weight's output."""

    INIT_STD = "init_std"
    MULTIPLIER = "multiplier"
    LEARNING_RATE = "learning_rate"
    WEIGHT_DECAY = "weight_decay"
    EPS = "eps"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule was published; `paper` is "derived" where no paper prints the row.

    Attributes:
        paper: paper or repository, a key of the provenance table.
        table: table, figure or function in it.
        row: row or line in that.
    """

    paper: str
    table: str
    row: str

    def __str__(self) -> str:
        return f"{self.paper}, {self.table}, {self.row}"


@dataclass(frozen=True, slots=True)
class SizeRatios:
    """Ratios of a size to the base size, all positive; of an absolute table, the size itself.

    Attributes:
        fan_in: ratio of this parameter's fan-in, so that axes may grow unequally.
        fan_out: ratio of this parameter's fan-out.
        larger: ratio of the larger of its two fans.
        width: ratio of the model's width.
        depth: ratio of the number of repeated layers; 1 for a parameter outside the residual blocks.
        layers: ratio of the number of repeated layers, for every parameter.
        batch: ratio of the examples per step.
        tokens: ratio of the predicted positions over the run.
    """

    fan_in: float = 1.0
    fan_out: float = 1.0
    larger: float = 1.0
    width: float = 1.0
    depth: float = 1.0
    layers: float = 1.0
    batch: float = 1.0
    tokens: float = 1.0


@dataclass(frozen=True, slots=True)
class Exponents:
    """A product of powers of the multipliers; the depth exponent is `depth + depth_alpha * alpha`, layers alike.

    Attributes:
        fan_in: power of m_in, the growth of the fan-in.
        fan_out: power of m_out, the growth of the fan-out.
        larger: power of m_max, the growth of the larger fan.
        width: power of m_N, the growth of the model's width.
        depth: power of m_L for parameters inside residual blocks, without alpha's part.
        depth_alpha: what alpha is multiplied by in that power.
        layers: power of m_L for every parameter, without alpha's part.
        layers_alpha: what alpha is multiplied by in that power.
        batch: power of m_B, the growth of the batch.
        tokens: power of m_D, the growth of the tokens.
    """

    fan_in: float = 0.0
    fan_out: float = 0.0
    larger: float = 0.0
    width: float = 0.0
    depth: float = 0.0
    depth_alpha: float = 0.0
    layers: float = 0.0
    layers_alpha: float = 0.0
    batch: float = 0.0
    tokens: float = 0.0

    def __mul__(self, other: Exponents) -> Exponents:
        """The product of two factors: exponents add."""
        return Exponents(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))

    def __pow__(self, power: float) -> Exponents:
        """The factor raised to a power: exponents scale."""
        return Exponents(*(getattr(self, name) * power for name in _FIELDS))

    def at(self, alpha: float) -> Exponents:
        """The same factor with alpha put in."""
        return Exponents(**self.resolved(alpha))

    def resolved(self, alpha: float) -> dict[str, float]:
        """Multiplier name -> exponent at one alpha, without zeros."""
        exponents = {name: getattr(self, name) for name in SYMBOLS}
        exponents["depth"] += self.depth_alpha * alpha
        exponents["layers"] += self.layers_alpha * alpha
        return {name: exponent for name, exponent in exponents.items() if exponent != 0}

    def factor(self, multipliers: SizeRatios, alpha: float) -> float:
        """The number to multiply a base value with; exactly 1 where every multiplier is 1."""
        product = 1.0
        for name, exponent in self.resolved(alpha).items():
            product *= float(getattr(multipliers, name)) ** exponent
        return product

    def text(self, alpha: float, symbols: Mapping[str, str] = SYMBOLS) -> str:
        """The factor as it is printed, for example "m_in^-1 m_L^-0.5"; "1" for no scaling."""
        powers = (
            symbols[name] if exponent == 1 else f"{symbols[name]}^{exponent:g}"
            for name, exponent in self.resolved(alpha).items()
        )
        return " ".join(powers) or "1"


_FIELDS = tuple(field.name for field in fields(Exponents))


@dataclass(frozen=True, slots=True)
class Rule:
    """One cell of a table: how one quantity of one role scales, and who says so.

    Attributes:
        role: role of the parameters that the rule is for.
        quantity: what the rule scales, for example the learning rate.
        exponents: the factor, as powers of the size's ratios.
        source: who printed it, or "derived".
        per_step: for weight decay: whether the factor is that of learning_rate * weight_decay.
        off: for weight decay: whether there is none.
    """

    role: Role
    quantity: Quantity
    exponents: Exponents
    source: Source
    per_step: bool = False
    off: bool = False


@dataclass(frozen=True, slots=True)
class Alpha:
    """The range of the residual exponent of a table that has one.

    Attributes:
        low: smallest exponent that the source covers.
        high: largest exponent that the source covers.
        default: exponent where none is chosen.
    """

    low: float
    high: float
    default: float


@dataclass(frozen=True, slots=True)
class RuleTable:
    """One parameterization for one optimizer family, in the form in which it was printed.

    Attributes:
        name: name of the parameterization in recipes.
        family: the optimizers it is for.
        rules: (role, quantity) -> rule; a role without rules is not known. For the families in `HIDDEN_ONLY` only
            hidden weights have rules, all others follow the table of AdamW or of `Options.beside_muon`.
        choices: (quantity, choice of the option) -> role -> rule, which replaces the one in `rules`; `defaults` say
            which choice that is.
        residual: multiplier of every residual branch; None where the table has no depth rule.
        alpha: range of the residual exponent; None where the table has none.
        covers: the axes of a size for which the table has rules.
        defaults: the table's own choice for every option that concerns it.
        absolute: whether factors are powers of the size itself, with init stds of 1, instead of ratios to a base size.
        remarks: what a reader must know: disagreements, and where the rules stop to hold.
    """

    name: str
    family: OptimizerFamily
    rules: Mapping[tuple[Role, Quantity], Rule]
    choices: Mapping[tuple[Quantity, str], Mapping[Role, Rule]]
    residual: Rule | None
    alpha: Alpha | None
    covers: frozenset[str]
    defaults: Options
    absolute: bool = False
    remarks: tuple[str, ...] = ()

    def rules_for(self, role: Role, options: Options) -> dict[Quantity, Rule]:
        """The rules of a role under resolved options; empty where the table knows none."""
        rules = {quantity: rule for (of, quantity), rule in self.rules.items() if of is role}
        for (quantity, choice), column in self.choices.items():
            if choice == getattr(options, option_of(quantity, self.family)) and role in column:
                rules[quantity] = column[role]
        return rules


_OPTION_OF = {Quantity.WEIGHT_DECAY: "weight_decay", Quantity.EPS: "eps", Quantity.LEARNING_RATE: "muon_scale"}


def option_of(quantity: Quantity, family: OptimizerFamily) -> str:
    """The option that chooses among a quantity's rules.

    Args:
        quantity: one for which tables have choices.
        family: family of the table's optimizer.
    """
    on_sphere = quantity is Quantity.LEARNING_RATE and family in ON_SPHERE
    return "update_rank" if on_sphere else _OPTION_OF[quantity]

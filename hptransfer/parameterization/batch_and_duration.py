"""Batch and duration: what follows m_B and m_D, how far that holds, and the betas at a size.

Batch rules compare runs on the same tokens. They replace a table's own powers of the batch, so that each option means
the same under every parameterization.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hptransfer.errors import UsageError
from hptransfer.parameterization.rules import (
    TOKEN_EXPONENTS,
    Exponents,
    OptimizerFamily,
    Options,
    Quantity,
    Rule,
    RuleTable,
    Source,
    explain_choice,
)
from hptransfer.sizes import Size


@dataclass(frozen=True, slots=True)
class BatchRule:
    """Powers of m_B per quantity, with the range in which they hold.

    Attributes:
        powers: quantity -> exponent of m_B; quantities that are left out keep their base values.
        source: where the rule was published.
        range: where it holds, a clause for plans and pages.
    """

    powers: Mapping[Quantity, float]
    source: Source
    range: str


BATCH_RULES: Mapping[tuple[OptimizerFamily, str], BatchRule] = {
    ("adam", "sde"): BatchRule(
        {Quantity.LEARNING_RATE: 0.5, Quantity.WEIGHT_DECAY: 0.5, Quantity.EPS: -0.5},
        Source("Adam's SDE (arXiv 2205.10287, weight decay 2411.15958)", "square-root scaling rule", "the same tokens"),
        "holds while gradient noise dominates, for batches up to the critical batch size; above it the optimum of the "
        "learning rate saturates. Measured local exponents lie between 0.1 and 0.6: check three batch sizes",
    ),
    ("sgd", "linear"): BatchRule(
        {Quantity.LEARNING_RATE: 1.0},
        Source("arXiv 1706.02677", "linear scaling rule", "the same tokens, the same momentum"),
        "holds for batches far below the critical batch size; above it the learning rate saturates",
    ),
}
_KEPT = BatchRule({}, Source("none", "batch", "base values are kept"), "")

_DURATION_RANGE = (
    "no exponent is agreed on, and its sign depends on how the batch grows with the tokens; keep the schedule's shape "
    "and its warmup relative to the run"
)


def batch_rule(family: OptimizerFamily, options: Options) -> BatchRule:
    """The chosen batch rule for a family.

    Args:
        family: family of the optimizer.
        options: named choices, defaults filled in.

    Raises:
        UsageError: no source is known for the choice.
    """
    if options.batch_rule in {None, "none"}:
        return _KEPT
    rule = BATCH_RULES.get((family, str(options.batch_rule)))
    if rule is None:
        known = [name for of, name in BATCH_RULES if of == family]
        raise UsageError(
            f"a batch rule for the family {family} must have a source",
            received=f"batch_rule={options.batch_rule}",
            hint=f"known: {', '.join([*known, 'none'])}",
        )
    return rule


def with_batch_and_duration(
    exponents: Mapping[Quantity, Exponents], family: OptimizerFamily, options: Options
) -> dict[Quantity, Exponents]:
    """A parameter's powers with those of batch and tokens that the options choose.

    Args:
        exponents: a parameter's powers per quantity, as its table has them.
        family: family of the optimizer.
        options: named choices, defaults filled in.
    """
    rule = batch_rule(family, options)
    result = {quantity: replace(power, batch=rule.powers.get(quantity, 0.0)) for quantity, power in exponents.items()}
    if options.token_exponent is not None:
        rate = result[Quantity.LEARNING_RATE]
        result[Quantity.LEARNING_RATE] = replace(rate, tokens=-options.token_exponent)
    return result


#: what the source of weight decay says where its timescale is held
HELD = "batch and tokens by `decay_timescale: held` (arXiv 2405.13698)"


def holding_timescale(exponents: Mapping[Quantity, Exponents]) -> Exponents:
    """Powers of weight decay under which it averages over the same share of the run, whatever the batch and tokens.

    With the rate as m_B^b m_D^d, batch / (rate * decay * tokens) stays where the decay goes as m_B^(1-b) m_D^(-1-d).

    Args:
        exponents: a parameter's powers per quantity, those of the rate final.
    """
    rate = exponents[Quantity.LEARNING_RATE]
    return replace(exponents[Quantity.WEIGHT_DECAY], batch=1 - rate.batch, tokens=-1 - rate.tokens)


def batch_and_duration_source(rule: Rule, scaled: Exponents, family: OptimizerFamily, options: Options) -> str:
    """What the source of a rule must add where options changed its powers of batch and tokens; else nothing.

    Args:
        rule: the table's rule of one quantity.
        scaled: its powers after the options.
        family: family of the optimizer.
        options: named choices, defaults filled in.
    """
    added = ""
    if scaled.batch != rule.exponents.batch:
        added += f"; batch rule `{options.batch_rule}` ({batch_rule(family, options).source})"
    if scaled.tokens != rule.exponents.tokens:
        added += f"; token exponent {-scaled.tokens:g} by option"
    return added


def covered_axes(table: RuleTable, options: Options) -> frozenset[str]:
    """The axes for which the table and the options have a rule.

    Args:
        table: the rules in use.
        options: named choices, defaults filled in.
    """
    axes = table.covers - {"batch"} if options.batch_rule == "none" else table.covers | {"batch"}
    return axes | {"tokens"} if options.token_exponent is not None else axes


def optimizer_values(
    table: RuleTable, options: Options, base: Size, size: Size, hyperparameters: Mapping[str, float]
) -> dict[str, float]:
    """beta1, beta2 and momentum at a size, those that `hyperparameters` has; one value for all parameters.

    Under the batch rule `sde`, 1 - beta grows as m_B, and as m_B / m_D where the table has a rule for tokens.

    Args:
        table: the rules of what Adam trains.
        options: named choices, defaults filled in.
        base: size at which the base values hold.
        size: size that is planned for.
        hyperparameters: base values by name.

    Raises:
        UsageError: the linear form leaves [0, 1).
    """
    values = {name: hyperparameters[name] for name in ("beta1", "beta2", "momentum") if name in hyperparameters}
    if table.family != "adam" or options.batch_rule != "sde" or options.betas in {None, "none"}:
        return values
    ratio = size.batch_size / base.batch_size
    if "tokens" in table.covers:
        ratio /= size.tokens / base.tokens
    for name in {"beta1", "beta2"} & values.keys():
        values[name] = _scaled_beta(name, values[name], ratio, options)
    return values


def _scaled_beta(name: str, beta: float, ratio: float, options: Options) -> float:
    if ratio == 1:
        return beta
    if options.betas == "half-life":
        return float(beta**ratio)
    scaled = 1 - (1 - beta) * ratio
    if scaled < 0:
        raise UsageError(
            f"`0 <= {name} < 1` must hold; 1 - {name} times {ratio:g} leaves it",
            received=f"{name} {beta:g} -> {scaled:g}",
            hint='choose the half-life form, options.betas = "half-life": the same to first order, always in range',
        )
    return scaled


def batch_and_duration_notes(table: RuleTable, options: Options, base: Size, size: Size) -> Iterator[str]:
    """What a reader must know where batch or tokens change under a rule.

    Args:
        table: the rules in use.
        options: named choices, defaults filled in.
        base: size at which the base values hold.
        size: size that is planned for.
    """
    if size.batch_size != base.batch_size and options.batch_rule not in {None, "none"}:
        rule = batch_rule(table.family, options)
        known = ["none", *(name for family, name in BATCH_RULES if family == table.family)]
        yield f"batch rule {explain_choice('batch_rule', str(options.batch_rule), known)}. It {rule.range}"
    if size.tokens != base.tokens and options.token_exponent is not None:
        others = "; ".join(f"{exponent}: {who}" for exponent, who in TOKEN_EXPONENTS.items())
        yield (
            f"learning rates follow tokens as m_D^{-options.token_exponent:g}; published exponents x of m_D^-x: "
            f"{others}. {_DURATION_RANGE}"
        )

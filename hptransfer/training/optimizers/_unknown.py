"""Refusals of optimizers whose steps are not a rate times an averaged gradient."""

from __future__ import annotations

from hptransfer.errors import UsageError

_HINT = "sharpness is measured with adamw or sgd; leave `sharpness` out of `check.diagnostics`"


def no_threshold(name: str) -> UsageError:
    """That no threshold of stability is known for an optimizer.

    Args:
        name: the optimizer's name in `OPTIMIZERS`.
    """
    rule = "a threshold of stability must have a source"
    return UsageError(rule, received=f"{name}, for which none is known", hint=_HINT)


def no_effective_rate(name: str) -> UsageError:
    """That an optimizer has no effective rate per entry.

    Args:
        name: the optimizer's name in `OPTIMIZERS`.
    """
    rule = "steps must be proportional to an averaged gradient to have an effective rate"
    return UsageError(rule, received=name, hint=_HINT)

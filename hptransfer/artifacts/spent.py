"""What training cost, compared with the run it is for: a section of several artifacts."""

from __future__ import annotations

from hptransfer.artifacts.base import Record


class Spent(Record):
    """What finished trials cost, and the run they are for. Failed attempts and the coordinate check do not count."""

    trials: int
    """number of finished trials, divergences included"""
    flops: float
    """floating point operations of their training"""
    seconds: float
    """wall time of their training, summed over trials"""
    target_flops: float | None
    """floating point operations of the target's run; null: not known"""
    fraction_of_target: float | None
    """`flops / target_flops`"""
    short_target: bool = False
    """whether the target is counted with the proxy's tokens, because the recipe gives it none of its own"""

    def share_of(self, target_flops: float | None, *, short: bool = False) -> Spent:
        """The same cost, compared with a run.

        Args:
            target_flops: floating point operations of that run; None where they are not known.
            short: whether that run has the proxy's tokens, because the recipe gives the target none.
        """
        fraction = self.flops / target_flops if target_flops else None
        return self.model_copy(
            update={"target_flops": target_flops, "fraction_of_target": fraction, "short_target": short}
        )

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.trials and not self.flops:
            return f"spent {self.seconds:.3g} s of training in {self.trials} trials; their FLOPs are not known"
        spent = f"spent {self.flops:.2g} FLOPs in {self.trials} trials"
        if self.fraction_of_target is None:
            return f"{spent}; what the target's run costs is not known"
        share = f"{spent}: {percent(self.fraction_of_target)} of the target run's {self.target_flops:.2g}"
        return f"{share} on the proxy's tokens (`sizes.target.tokens` sets its own)" if self.short_target else share


def percent(fraction: float) -> str:
    """A fraction as people read it: 0.31%, 12%, 340%."""
    return f"{100 * fraction:.2g}%" if fraction < 0.995 else f"{100 * fraction:.0f}%"

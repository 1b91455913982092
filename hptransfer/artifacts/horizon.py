"""What `target.yaml` says of batch and tokens: exponents that were measured and used, what is published, and decay."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from hptransfer.artifacts.base import Artifact
from hptransfer.parameterization.decay_timescale import DecayTimescale
from hptransfer.transfer.horizon import CarriedExponent


class _Record(BaseModel):
    """A part of the file: unknown keys, loose types and numbers that are not finite are errors."""

    model_config = Artifact.model_config | {"strict": True}


class PublishedRecord(_Record):
    """What a published account would make of the value; it was not applied."""

    rule: str
    """by which people call it"""
    source: str
    """authors and arXiv number"""
    holds: str
    """the path along which it was found"""
    power: float
    """of the ratio of the target to what was checked"""
    value: float
    """of the hyperparameter at the base, so that the target's rows would follow the account"""


class ExponentRecord(_Record):
    """The measured power of an axis beyond the rules, with its 95% interval."""

    estimate: float
    low: float | None
    """null: open"""
    high: float | None
    """null: open"""
    measured_from: float
    """smallest size of the ladder"""
    measured_to: float
    """largest size of the ladder"""
    source: str = "the ladder in transfer.json: octaves of the optimum per doubling"


class HorizonRecord(_Record):
    """How a hyperparameter was carried along an axis of the run on which the target is not the proxy."""

    axis: str
    """batch_size or tokens"""
    hyperparameter: str
    checked: float
    """the axis's value at which its other ladders were trained"""
    target: float
    exponent: ExponentRecord | None
    """null: no ladder measured it"""
    used: bool
    """whether `hyperparameters` have been moved by it"""
    factor: float
    """by which the base value was multiplied; 1 where nothing is used"""
    factor_low: float
    """95% interval of the factor that the exponent gives, wider beyond the range that was measured"""
    factor_high: float
    published: tuple[PublishedRecord, ...] = ()
    """of learning rates that nothing moves: what others would do"""
    sentence: str

    @classmethod
    def carried(cls, of: CarriedExponent, published: tuple[PublishedRecord, ...]) -> Self:
        """The record of a ladder's exponent.

        Args:
            of: the exponent, used or not.
            published: what others would do.
        """
        ends = (end if abs(end) < float("inf") else None for end in (of.exponent.low, of.exponent.high))
        low, high = ends
        estimate = ExponentRecord(
            estimate=of.exponent.estimate, low=low, high=high, measured_from=of.low, measured_to=of.high
        )
        moved = of.octaves
        return cls(
            axis=of.axis,
            hyperparameter=of.hyperparameter,
            checked=of.proxy,
            target=of.target,
            exponent=estimate,
            used=of.used,
            factor=2.0**moved.estimate,
            factor_low=2.0**moved.low,
            factor_high=2.0**moved.high,
            published=published,
            sentence=of.sentence,
        )


class TimescaleRecord(_Record):
    """Over how much of the run weight decay averages, for the parameters that share it."""

    parameters: tuple[str, ...]
    """roles, or names where one role has several"""
    steps: float
    """1 / (learning rate * weight decay), optimizer steps at the peak"""
    share: float
    """of the run: batch / (learning rate * weight decay * tokens)"""
    proxy_steps: float | None
    """at the proxy; null: it has no such parameter"""
    proxy_share: float | None
    """of the proxy's run"""

    @classmethod
    def of(cls, timescale: DecayTimescale) -> Self:
        """The record of a timescale.

        Args:
            timescale: at the target, with the proxy's.
        """
        return cls(
            parameters=timescale.parameters,
            steps=timescale.steps,
            share=timescale.share,
            proxy_steps=timescale.proxy_steps,
            proxy_share=timescale.proxy_share,
        )

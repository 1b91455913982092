"""The law by which an entry of a tensor starts, and what tensor operations make of it: exact, without any memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal

LawKind = Literal["normal", "uniform", "truncated normal", "constant", "fixed", "sign", "unwritten"]

_STANDARD = NormalDist()


@dataclass(frozen=True, slots=True)
class Law:
    """The distribution of one entry; entries are independent of each other.

    Attributes:
        kind: the distribution's family; "fixed": entries that differ, the same in every model; "sign": one or minus
            one, whatever decides it; "unwritten": memory that nobody has filled.
        mean: expected value; of a constant, its value.
        std: standard deviation; 0 for a constant.
        low: no entry is below it.
        high: no entry is above it.
    """

    kind: LawKind
    mean: float = 0.0
    std: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def affine(self, factor: float, shift: float = 0.0) -> Law | None:
        """The law of factor * x + shift; None where it is none that is known.

        Args:
            factor: finite number that multiplies each entry.
            shift: finite number that is added to each entry.
        """
        if not (math.isfinite(factor) and math.isfinite(shift)) or self.kind in ("fixed", "sign", "unwritten"):
            return None
        if factor == 0:
            return constant(shift)
        ends = sorted((self.low * factor + shift, self.high * factor + shift))
        return replace(self, mean=self.mean * factor + shift, std=self.std * abs(factor), low=ends[0], high=ends[1])

    def divided(self, by: float) -> Law | None:
        """The law of x / by, its std divided as torch divides: 1 / sqrt(n) comes out to the last bit.

        Args:
            by: finite and not 0.
        """
        scaled = self.affine(1 / by)
        return None if scaled is None else replace(scaled, mean=self.mean / by, std=self.std / abs(by))

    def inverse_error_function(self) -> Law | None:
        """The law of erfinv(x): of a uniform law, a normal one cut off at both ends, at std 1/sqrt(2)."""
        if self.kind != "uniform" or not -1 <= self.low < self.high <= 1:
            return None
        ends = [math.inf * end if abs(end) == 1 else _STANDARD.inv_cdf((1 + end) / 2) for end in (self.low, self.high)]
        return truncated_normal(0.0, 1.0, ends[0], ends[1]).affine(1 / math.sqrt(2))

    def clamped(self, low: float, high: float) -> Law | None:
        """The law of x put between two ends; None where it moves entries that are drawn.

        Args:
            low: smallest value that is left; may be infinite.
            high: largest value that is left; may be infinite.
        """
        if self.kind == "constant":
            return constant(min(max(self.mean, low), high))
        slack = 1e-6 * self.std
        inside = low <= self.low + slack and high >= self.high - slack
        return self if inside and self.kind not in ("fixed", "sign", "unwritten") else None


#: of what `sign` gives: it leaves a law around zero as it is
SIGN = Law("sign", 0.0, 1.0, -1.0, 1.0)

#: of what is computed from no drawn number
FIXED = Law("fixed")


def constant(value: float) -> Law:
    """The law of a tensor whose entries are all equal.

    Args:
        value: that of every entry.
    """
    return Law("constant", float(value), 0.0, float(value), float(value))


def normal(mean: float, std: float) -> Law:
    """The normal law.

    Args:
        mean: expected value of an entry.
        std: standard deviation, at least 0.
    """
    return Law("normal", float(mean), float(std)) if std else constant(mean)


def uniform(low: float, high: float) -> Law:
    """The uniform law.

    Args:
        low: smallest value of an entry.
        high: largest value of an entry.
    """
    if low == high:
        return constant(low)
    return Law("uniform", (low + high) / 2, (high - low) / math.sqrt(12), float(low), float(high))


def truncated_normal(mean: float, std: float, low: float, high: float) -> Law:
    """The normal law given that an entry lies between two ends; its std is smaller than that of the normal law.

    Args:
        mean: of the normal law.
        std: of the normal law, above 0.
        low: smallest value; may be infinite.
        high: largest value, above `low`; may be infinite.

    Returns:
        The law with the mean and the std of what is drawn (Johnson, Kotz and Balakrishnan, Continuous Univariate
        Distributions 1, chapter 13, section 10.1).
    """
    if std == 0:
        return constant(mean)
    ends = ((low - mean) / std, (high - mean) / std)
    mass = _STANDARD.cdf(ends[1]) - _STANDARD.cdf(ends[0])
    densities = [_STANDARD.pdf(end) if math.isfinite(end) else 0.0 for end in ends]
    moments = [end * density if math.isfinite(end) else 0.0 for end, density in zip(ends, densities, strict=True)]
    shift = (densities[0] - densities[1]) / mass
    variance = 1 + (moments[0] - moments[1]) / mass - shift**2
    return Law("truncated normal", mean + std * shift, std * math.sqrt(variance), float(low), float(high))


@dataclass(slots=True)
class Content:
    """What fills a tensor's memory: one law, and other laws in ranges of it.

    Attributes:
        law: of all entries outside `parts`; None where it is not known.
        parts: (first entry, entry after the last) -> law, None where it is not known.
        zeros: whether single entries outside `parts` may have been set to zero.
    """

    law: Law | None
    parts: dict[tuple[int, int], Law | None] = field(default_factory=dict)
    zeros: bool = False

    def at(self, start: int, end: int) -> Law | None:
        """The law of a range of entries; None where it has several, or it is not known.

        Args:
            start: place of the first entry in the storage.
            end: entry after the last.
        """
        if (start, end) in self.parts:
            return self.parts[start, end]
        laws = set(self.within(start, end))
        return laws.pop()[1] if len(laws) == 1 else None

    def within(self, start: int, end: int) -> Sequence[tuple[int, Law | None]]:
        """(number of entries, law) of everything in a range; the number is 0 where the range has one law.

        Args:
            start: place of the first entry in the storage.
            end: entry after the last.
        """
        found = {(max(a, start), min(b, end)): law for (a, b), law in self.parts.items() if a < end and b > start}
        rest = end - start - sum(b - a for a, b in found)
        pieces = [(b - a, law) for (a, b), law in found.items()] + ([(rest, self.law)] if rest > 0 else [])
        laws = {law for _, law in pieces}
        return [(0, laws.pop())] if len(laws) == 1 else pieces

    def write(self, start: int, end: int, law: Law | None) -> None:
        """Fill a range.

        Args:
            start: place of the first entry in the storage.
            end: entry after the last.
            law: of the new entries; None where it is not known.
        """
        kept = {}
        for (a, b), known in self.parts.items():
            if b <= start or a >= end:
                kept[a, b] = known
                continue
            kept |= {(a, start): known} if a < start else {}
            kept |= {(end, b): known} if b > end else {}
        self.parts = kept | {(start, end): law}

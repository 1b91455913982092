"""Transfer: trials of a ladder in, a verdict with its reasons and predictions out. Pure."""

__all__ = [
    "allocation",
    "criteria",
    "exponents",
    "judge",
    "prediction",
    "slices",
    "transfer_rate",
    "verdict",
    "verdict_text",
]

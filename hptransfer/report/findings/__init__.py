"""Findings as text, and the formats in which `hptransfer validate` prints them: a file per format."""

from hptransfer.report.findings._excerpts import excerpt
from hptransfer.report.findings.base import FORMATS, as_text

__all__ = ["FORMATS", "as_text", "base", "excerpt"]

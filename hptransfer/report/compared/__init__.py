"""Two versions of recipes compared, in the formats of `hptransfer diff`: a file per format."""

from hptransfer.report.compared.base import FORMATS

__all__ = ["FORMATS", "base"]

"""Tables of finished runs: read, understood column by column, sliced, turned into trials."""

__all__ = ["columns", "group", "readers", "results", "table", "table_slices"]

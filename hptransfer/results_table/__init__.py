"""Tables of finished runs: read from a file, understood column by column, turned into trials and judged.

readers  CSV, JSON lines and parquet -> a table of cells, each with its line
columns  which column is the size, the value, the loss, the seed
results  rows -> trials: what counts, what is left out and why, what must not be mixed
group    one group of runs judged; the rows that bear on each of several hyperparameters
"""

__all__ = ["cells", "column_names", "columns", "coordinate_table", "group", "prepare", "readers", "results", "rules"]

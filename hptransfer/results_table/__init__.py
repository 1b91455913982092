"""Tables of finished runs: read from a file, understood column by column, sliced, turned into trials and judged.

readers       CSV, JSON lines and parquet -> a table of cells
table         the table, and a column of it as numbers
columns       which column is the size, the value, the loss, the seed
table_slices  the rows that bear on each of several hyperparameters
results       rows -> trials: what counts, what is left out and why, what must not be mixed
group         one group of runs judged
"""

__all__ = ["columns", "group", "readers", "results"]

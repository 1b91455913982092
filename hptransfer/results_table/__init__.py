"""Tables of finished runs: read from a file, understood column by column, turned into trials and judged.

readers  CSV, Markdown, JSON, parquet and Optuna's databases -> a table of cells, each with its line
separators  what commas and points mean in the numbers of a file
wide     pivots, panels and names of runs -> one row per run and step
sources  several files -> one table
history  the last row of each run
prepare  all of that, from files to one row per run
columns  which column is the size, the value, the loss, the seed
results  rows -> trials: what counts, what is left out and why, what must not be mixed
group    one group of runs judged; the rows that bear on each of several hyperparameters
"""

__all__ = ["cells", "column_names", "columns", "coordinate_table", "group", "prepare", "readers", "results", "rules"]

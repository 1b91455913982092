"""Artifacts: the files that one command writes and another reads, typed, each with a format number.

One module per file: its pydantic model, its writer and its reader. Nothing else in the package parses these files.

tuned            `tuned.yaml`: what a search found
transfer         `transfer.json`: what a check found
target           `target.yaml`: the configuration of the large run with its evidence
recipe_snapshot  `recipe.json`: the recipe that a run folder was last worked on with
watch            the JSON lines that `hptransfer.watch` writes
spent            what training cost, a section of several files
json_data        results as plain JSON data
known_values     values that must be one of a list, checked where a file is read
unparsed         why a text is no YAML or JSON, with line and column
yaml_keys        YAML whose mappings have each key once
"""

__all__ = [
    "carried",
    "compared",
    "coordinate",
    "facts",
    "horizon",
    "json_data",
    "pasted",
    "plan_file",
    "recipe_snapshot",
    "scope",
    "spent",
    "target",
    "transfer",
    "tuned",
    "unparsed",
    "watch",
    "yaml_keys",
]

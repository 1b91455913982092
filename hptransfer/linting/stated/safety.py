"""Rules on what a stranger's recipe may reach and cost: paths, storage and caps."""

from __future__ import annotations

from hptransfer.linting.base import StatedRule
from hptransfer.recipe.rule_text import Explanation

RULES = (
    StatedRule(
        "path/nothing",
        "a glob or a folder that is named holds a recipe",
        "error",
        "validate",
        Explanation(
            "HPT902",
            "A check of no recipe that passes would look like a check of all of them.",
            "name a folder or a quoted glob that holds recipes",
            "hptransfer validate 'recipies/*.yaml'",
            "hptransfer validate 'recipes/*.yaml'",
            base=None,
        ),
    ),
    StatedRule(
        "path/not-plain",
        "a run folder holds regular files and folders, behind no link",
        "error",
        "validate",
        Explanation(
            "HPT910",
            "A run folder may come from a stranger: a link says where a command writes, and a pipe never ends.",
            "put the file itself in its place; results on another disk are named with `--runs`",
            "runs/small/study.db -> /home/user/other.db",
            "runs/small/study.db is a file",
            base=None,
        ),
    ),
    StatedRule(
        "path/damage",
        "the database of a study is as it was left",
        "error",
        "validate",
        Explanation(
            "HPT911",
            "Trials that are lost or changed would be trained again, or judged, in silence.",
            "restore the run folder from a copy, or move it away and start again",
            "runs/small/study.db was cut off when a disk was full",
            "runs/small/study.db is whole",
            base=None,
        ),
    ),
    StatedRule(
        "caps/trials",
        "tune and check train at most as many trials as `--max-trials` allows",
        "error",
        "static",
        Explanation(
            "HPT931",
            "Whoever runs strangers' recipes says what one may cost.",
            "make the ladder, `check.seeds`, `check.octaves` or `tune.trials` smaller, or raise the cap",
            "hptransfer validate recipe.yaml --max-trials 50, of a recipe that trains 120",
            "hptransfer validate recipe.yaml --max-trials 200",
            base=None,
        ),
    ),
    StatedRule(
        "caps/flops",
        "tune and check take at most as many FLOPs as `--max-flops` allows",
        "error",
        "shapes",
        Explanation(
            "HPT932",
            "Whoever runs strangers' recipes says what one may cost.",
            "make the ladder, `check.seeds`, `check.octaves` or `training.steps` smaller, or raise the cap",
            "hptransfer validate recipe.yaml --max-flops 1e12, of a recipe that takes 1e15",
            "hptransfer validate recipe.yaml --max-flops 1e16",
            base=None,
        ),
    ),
    StatedRule(
        "caps/model",
        "a model is built and planned, without memory, in bounded time and memory",
        "error",
        "shapes",
        Explanation(
            "HPT933",
            "Each layer and each part is an object that takes time and memory though its tensors take none: a short "
            "recipe would hold a job up for hours. The level is not decided, and the exit status is 3.",
            "give the target fewer layers, and settings of the model smaller counts",
            "sizes.target: {width: 1024, depth: 4000} of a model of transformers",
            "sizes.target: {width: 1024, depth: 80}",
            base=None,
        ),
    ),
)

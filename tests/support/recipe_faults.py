"""One fault each in a small valid recipe, and what is said of it."""

from __future__ import annotations

FAULTS = [
    ("steps: 100", "steps: 100.0", "5:10 `training.steps` must be an integer | 100.0 | write 100"),
    (
        "steps: 100",
        "steps: '100'",
        '5:10 `training.steps` must be an integer | "100" (text) | write 100 without quotes',
    ),
    (
        "steps: 100",
        "steps: 1_000",
        '5:10 `training.steps` must be an integer | "1_000" (text) | write 1000: numbers have no digit separators',
    ),
    (
        "steps: 100",
        "steps: true",
        "5:10 `training.steps` must be an integer | true | write a whole number",
    ),
    (
        "steps: 100",
        "steps:",
        "5:3 exactly one of `steps`, `tokens` and `tokens_per_parameter` must say...",
    ),
    ("steps: 100", "steps: -3", "5:10 `training.steps >= 1` must hold | -3 | write 1 or more"),
    ("steps: 100", "steps: 0", "5:10 `training.steps >= 1` must hold | 0 | write 1 or more"),
    (
        "low: 1e-4",
        "low: '0,004'",
        '13:26 `tune.space.learning_rate.low` must be a number | "0,004" (text) | write 0.004: decimals follow a point',
    ),
    (
        "low: 1e-4",
        "low: '3,5e-4'",
        '13:26 `tune.space.learning_rate.low` must be a number | "3,5e-4" (text) | '
        "write 3.5e-4: decimals follow a point",
    ),
    (
        "low: 1e-4",
        "low: '1,000e-3'",
        '13:26 `tune.space.learning_rate.low` must be a number | "1,000e-3" (text) | write a number',
    ),
    (
        "low: 1e-4",
        "low: '1.234,5'",
        '13:26 `tune.space.learning_rate.low` must be a number | "1.234,5" (text) | write a number',
    ),
    (
        "steps: 100",
        "steps: '1,000'",
        '5:10 `training.steps` must be an integer | "1,000" (text) | write 1000: numbers have no digit separators',
    ),
    (
        "steps: 100",
        "steps: '12,345,678'",
        '5:10 `training.steps` must be an integer | "12,345,678" (text) | '
        "write 12345678: numbers have no digit separators",
    ),
    (
        "steps: 100",
        "steps: '0,004'",
        '5:10 `training.steps` must be an integer | "0,004" (text) | write a whole number',
    ),
    (
        "steps: 100",
        "steps: '1,00'",
        '5:10 `training.steps` must be an integer | "1,00" (text) | write a whole number',
    ),
    (
        "low: 1e-4",
        "low: 2^-7",
        '13:26 `tune.space.learning_rate.low` must be a number | "2^-7" (text) | write 0.0078125',
    ),
    (
        "low: 1e-4",
        "low: .nan",
        "13:26 `tune.space.learning_rate.low` must be a finite number | NaN | write a number, for example...",
    ),
    (
        "high: 1e-1",
        "high: .inf",
        "13:38 `tune.space.learning_rate.high` must be a finite number | Infinity | write a number, for...",
    ),
    (
        "high: 1e-1",
        "high: 1e999",
        "13:38 `tune.space.learning_rate.high` must be a finite number | Infinity | write a number, for...",
    ),
    ("width: 64", "width: -64", "8:17 `sizes.base.width >= 1` must hold | -64 | write 1 or more"),
    (
        "width: 1024",
        "width: 99999999",
        "10:19 `sizes.target.width <= 1048576` must hold | 99999999 | write 1048576 or less",
    ),
    (
        "[64, 128,",
        "[64, x,",
        '9:16 `sizes.widths[1]` must be an integer | "x" (text) | write a whole number',
    ),
    ("[64, 128, 256, 512]", "64", "9:11 `sizes.widths` must be a list | 64 | write `[64]`"),
    (
        "[64, 128, 256, 512]",
        "[]",
        "9:11 `sizes.widths` must have at least 1 entry | an empty list | write `[...]` with an entry in it",
    ),
    (
        "name: small",
        "name: no: wait",
        "1:9 a recipe must be valid YAML: mapping values are not allowed here | None | check the indentation, a...",
    ),
    (
        "name: small",
        "name: my run",
        '1:7 `name` must start with a letter or digit and hold only letters, digits, `.`, `_` and `-` | "my run...',
    ),
    (
        "name: small",
        "name: ../x",
        '1:7 `name` must start with a letter or digit and hold only letters, digits, `.`, `_` and `-` | "../x" ...',
    ),
    ("name: small", "name: 3", "1:7 `name` must be text | 3 | put text in quotes"),
    (
        "name: small",
        "name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
        '1:7 `name` must have at most 80 characters | "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...',
    ),
    (
        "{kind: mlp}",
        "{kind: gtp}",
        '2:15 `model.kind` must be one of `mlp`, `gpt`, `factory`, `huggingface`, `external` | "gtp" (text)...',
    ),
    (
        "{kind: mlp}",
        "{kind: resnet}",
        '2:15 `model.kind` must be one of `mlp`, `gpt`, `factory`, `huggingface`, `external` | "resnet" (text) | ...',
    ),
    ("{kind: mlp}", "{context: 3}", "2:1 `model.kind` must be given | None | one of `mlp`, `gpt`"),
    (
        "{kind: mlp}",
        "mlp",
        '2:8 `model` must be a mapping (`key: value` lines) | "mlp" (text) | write `{kind: mlp}`',
    ),
    (
        "{kind: mlp}",
        "{kind: mlp, head_dim: 8}",
        "2:20 `head_dim` is not a key of `model` | None | `head_dim` is a key of `model` with `kind: gpt`",
    ),
    (
        "{kind: stdlib-text}",
        "{kind: text}",
        "3:1 `data.files` must be given | None | add `files: ...` (glob patterns relative to the recipe's folder)",
    ),
    (
        "{kind: stdlib-text}",
        "{kind: text, files: a.txt}",
        '3:27 `data.files` must be a list | "a.txt" (text) | write `[a.txt]`',
    ),
    (
        "{name: mup}",
        "{name: muP}",
        "6:26 `parameterization.name` must be one of `standard`, `ntk`, `mean-field`, ...",
    ),
    (
        "steps: 100",
        "steps: 100\n  optimizer: adam",
        "6:14 `training.optimizer` must be one of `adafactor`, `adamh`, `adamw`, `lion`, `muon`, `muonh`, `sgd` | "
        '"adam" (text) | did you mean `adamw`?',
    ),
    (
        "steps: 100",
        "steps: 100\n  optimizer: soap",
        "6:14 `training.optimizer` must be one of `adafactor`, `adamh`, `adamw`, `lion`, `muon`, `muonh`, `sgd` | "
        '"soap" (text) | rules exist (arXiv 2512.05620) but were not read in the paper, ...',
    ),
    (
        "steps: 100",
        "steps: 100\n  multipliers: {adam_learning_rate: 0.5}",
        "6:37 `adam_learning_rate` must multiply something in the model | 0.5; adamw trains all parameters | delete "
        "the line",
    ),
    (
        "steps: 100",
        "steps: 100\n  lr: 1",
        "6:3 `lr` is not a key of `training` | None | did you mean `learning_rate`? keys of `training`: `steps`...",
    ),
    (
        "steps: 100",
        "steps: 100\n  warmup: 2",
        "6:11 `training.warmup <= 1` must hold | 2 | write 0.02: shares are fractions of 1, and `warmup_steps: 2`...",
    ),
    (
        "tune:",
        "trails: 3\ntune:",
        "11:1 `trails` is not a key of a recipe | None | keys of a recipe: `name`, `description`, `model`, `dat...",
    ),
    (
        "tune:",
        "check: {sharpness: true}\ntune:",
        "11:9 `sharpness` is not a key of `check` any more | None | write `diagnostics: [sharpness]` in `check`",
    ),
    (
        "tune:",
        "check: {coordinate: {linearisation: false}}\ntune:",
        "11:22 `linearisation` is not a key of `check.coordinate` any more | None | delete the line; `diagn...",
    ),
    (
        "tune:",
        "check: {diagnostics: [noise_scale]}\ntune:",
        "11:23 `check.diagnostics[0]` must be one of `collapse`, `coordinate`, `interactions`, `linearizat...",
    ),
    ("tune:", "seed: 3\ntune:", "11:1 `seed` is not a key of a recipe | None | `seed` is a key of `tune`"),
    (
        "tune:",
        "tune:\n  trails: 3",
        "12:3 `trails` is not a key of `tune` | None | did you mean `trials`? keys of `tune`: `space`, `order`...",
    ),
    (
        "tune:",
        "tune:\n  sampler: sobl",
        "12:12 `tune.sampler` must be one of `auto`, `cmaes`, `gp`, `grid`, `random`, `sobol`, `tpe` | "
        '"sobl" (text) | did you mean `sobol`?',
    ),
    (
        "tune:",
        "tune:\n  early_stopping: asha",
        "12:3 `early_stopping` is not a key of `tune` | None | early_stopping was removed: measurements showed ...",
    ),
    (
        "    learning_rate: {low: 1e-4, high: 1e-1}\n",
        "    {}\n",
        "13:5 `tune.space` must name at least one hyperparameter | an empty mapping | for example `space: {learn...",
    ),
    (
        "    learning_rate: {low: 1e-4, high: 1e-1}\n",
        "",
        "12:9 `tune.space` must be a mapping (`key: value` lines) | nothing | write its keys on...",
    ),
    (
        "high: 1e-1",
        "scale: lgo, high: 1e-1",
        '13:39 `tune.space.learning_rate.scale` must be one of `log`, `linear` | "lgo" (text) | did you mean `l...',
    ),
    (", high: 1e-1", "", "13:5 `tune.space.learning_rate.high` must be given | None | add `high: ...`"),
]

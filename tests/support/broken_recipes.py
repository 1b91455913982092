"""Broken recipes, each with the number of the rule that it breaks; a "⟪" stands where the finding is, by hand."""

from __future__ import annotations

from tests.support.recipe_texts import GPT, MLP, edited

MARK = "⟪"
_WORDS = '["true", "--width={width}", "--lr={learning_rate}", "--seed={seed}"]'
COMMAND = f"""\
name: program
trainer:
  command: {_WORDS}
  results: {{stdout: "loss (.*)"}}
training: {{steps: 100}}
parameterization: {{name: measured}}
sizes:
  base: {{width: 64, depth: 2}}
  widths: [64, 128, 256, 512]
  target: {{width: 1024, depth: 2}}
tune:
  space:
    learning_rate: {{low: 1e-4, high: 1e-1}}
"""
_OWN = MLP.replace("{kind: mlp}", "{kind: factory, factory: 'net:make'}")
_HF = MLP.replace("{kind: mlp}", "{kind: huggingface, config: llama, settings: {hidden_size: 64}}")
_TEXT = "{kind: stdlib-text}"
_SPACE = "high: 1e-1}"


#: name -> number of the rule, text with its mark
_MARKED: dict[str, tuple[str, str]] = {
    # what is no YAML of plain data, HPT002 to HPT005
    "escape-in-text": ("HPT002", edited(MLP, ("name: small", 'name: ⟪"a\\0b"'))),
    "tab-indentation": ("HPT003", edited(MLP, ("  steps: 100", "⟪\tsteps: 100"))),
    "unclosed-bracket": ("HPT003", edited(MLP, ("512]\n  target", "512\n  target⟪"))),
    "colon-in-text": ("HPT003", edited(MLP, ("name: small", "description: a⟪: b\nname: small"))),
    "conflict-markers": ("HPT003", edited(MLP, ("training:\n", "⟪<<<<<<< HEAD\ntraining:\n"))),
    "anchor": ("HPT004", edited(MLP, ("{width: 64, depth: 2}", "⟪&base {width: 64, depth: 2}"))),
    "tag": ("HPT004", edited(MLP, ("name: small", "name: ⟪!!str small"))),
    "merge-key": ("HPT004", edited(MLP, ("steps: 100", "⟪<<: {steps: 100}"))),
    "empty": ("HPT004", "⟪"),
    "two-documents": ("HPT004", MLP + "⟪---\nname: other\n"),
    "duplicate-key": ("HPT005", edited(MLP, ("  steps: 100", "  steps: 100\n  ⟪steps: 200"))),
    "duplicate-section": ("HPT005", MLP + "⟪name: again\n"),
    # missing, HPT006
    "no-name": ("HPT006", edited(MLP, ("name: small\n", "")).replace("model", "⟪model", 1)),
    "no-target": ("HPT006", edited(MLP, ("  target: {width: 1024, depth: 4}\n", ""), ("sizes:", "⟪sizes:"))),
    "no-high": ("HPT006", edited(MLP, ("learning_rate: {low: 1e-4, high: 1e-1}", "⟪learning_rate: {low: 1e-4}"))),
    "no-depth": ("HPT006", edited(MLP, ("base: {width: 64, depth: 2}", "⟪base: {width: 64}"))),
    "no-kind": ("HPT006", edited(MLP, ("model: {kind: mlp}", "⟪model: {embedding: 32}"))),
    "results-without-form": ("HPT006", edited(COMMAND, ('{stdout: "loss (.*)"}', "⟪{value: loss}"))),
    # unknown keys, HPT007
    "misspelt-key": ("HPT007", edited(MLP, ("  steps: 100", "  steps: 100\n  ⟪bacth_size: 4"))),
    "key-of-another-section": ("HPT007", edited(MLP, ("  steps: 100", "  steps: 100\n  ⟪trials: 4"))),
    "unknown-section": ("HPT007", MLP + "⟪notes: nothing\n"),
    "misspelt-hyperparameter": ("HPT007", edited(MLP, ("    learning_rate:", "    ⟪lr:"))),
    "misspelt-enqueued-name": ("HPT007", edited(MLP, ("tune:", "tune:\n  enqueue: [{⟪learning_rat: 0.1}]"))),
    "key-of-another-kind": ("HPT007", edited(MLP, ("{kind: mlp}", "{kind: mlp, ⟪head_dim: 16}"))),
    # unknown names, HPT008
    "misspelt-parameterization": ("HPT008", edited(MLP, ("{name: mup}", "{name: ⟪muP}"))),
    "misspelt-optimizer": ("HPT008", edited(MLP, ("steps: 100", "steps: 100\n  optimizer: ⟪adam"))),
    "unknown-kind": ("HPT008", edited(MLP, ("{kind: mlp}", "{kind: ⟪transformer}"))),
    "unknown-verdict": ("HPT008", MLP + "expect: {verdict: ⟪WORKS}\n"),
    "unknown-schedule": ("HPT008", edited(MLP, ("steps: 100", "steps: 100\n  schedule: ⟪cosin"))),
    "unknown-role": ("HPT008", edited(_OWN, ("'net:make'", "'net:make', roles: {x: ⟪bogus}"))),
    "unknown-sampler": ("HPT008", edited(MLP, ("tune:", "tune:\n  sampler: ⟪randm"))),
    # types, HPT009
    "quoted-number": ("HPT009", edited(MLP, ("steps: 100", 'steps: ⟪"100"'))),
    "float-for-integer": ("HPT009", edited(MLP, ("width: 1024", "width: ⟪1024.0"))),
    "digit-separators": ("HPT009", edited(MLP, ("steps: 100", "steps: ⟪1_000"))),
    "number-for-list": ("HPT009", edited(MLP, ("[64, 128, 256, 512]", "⟪64"))),
    "text-for-mapping": ("HPT009", edited(MLP, ("{name: mup}", "⟪mup"))),
    "validation-twice": (
        "HPT014",
        edited(
            MLP,
            (
                "{kind: stdlib-text}",
                "⟪{kind: tokens, train: [a.bin], validation: [b.bin], validation_fraction: 0.1, vocabulary: 512}",
            ),
            ("{kind: mlp}", "{kind: mlp, vocabulary: 512}"),
        ),
    ),
    "word-for-truth": ("HPT009", edited(MLP, ("512]", "512]\n  depths: [2, 4, 8]\n  corner: ⟪yes"))),
    "number-for-name": ("HPT009", edited(MLP, ("name: small", "name: ⟪5"))),
    "roles-as-text": ("HPT009", edited(_OWN, ("'net:make'", "'net:make', roles: ⟪bogus"))),
    "list-of-recipes": ("HPT009", "⟪- name: small\n- name: other\n"),
    "words-in-shell": ("HPT009", edited(COMMAND, (f"command: {_WORDS}", f"⟪shell: true\n  command: {_WORDS}"))),
    # ranges and forms, HPT010
    "negative-steps": ("HPT010", edited(MLP, ("steps: 100", "steps: ⟪-1"))),
    "not-finite": ("HPT010", edited(MLP, ("high: 1e-1", "high: ⟪.inf"))),
    "zero-trials": ("HPT010", edited(MLP, ("tune:", "tune:\n  trials: ⟪0"))),
    "alpha-above-one": ("HPT010", edited(GPT, ("{name: completep}", "{name: completep, alpha: ⟪2}"))),
    "name-with-a-space": ("HPT010", edited(MLP, ("name: small", "name: ⟪a b"))),
    "factory-without-colon": ("HPT010", edited(_OWN, ("'net:make'", "⟪my.mod"))),
    "factory-as-file": ("HPT010", edited(_OWN, ("'net:make'", "⟪models/net.py:make"))),
    "config-in-capitals": ("HPT010", edited(_HF, ("llama", "⟪Llama"))),
    "argument-with-hyphen": ("HPT010", edited(_OWN, ("'net:make'", "'net:make', width_argument: ⟪d-model"))),
    "time-without-unit": ("HPT010", MLP + "budget: {time: ⟪30}\n"),
    "empty-space": ("HPT010", edited(MLP, ("space:\n    learning_rate: {low: 1e-4, high: 1e-1}", "space: ⟪{}"))),
    "no-widths": ("HPT010", edited(MLP, ("[64, 128, 256, 512]", "⟪[]"))),
    # form: HPT011 to HPT014
    "results-outside": ("HPT011", edited(COMMAND, ('{stdout: "loss (.*)"}', "{jsonl: ⟪../a.jsonl}"))),
    "files-outside": ("HPT012", edited(MLP, (_TEXT, "{kind: text, files: [⟪../a.txt]}"))),
    "absolute-files": ("HPT012", edited(MLP, (_TEXT, "{kind: text, files: [⟪/etc/passwd]}"))),
    "pattern-without-group": ("HPT013", edited(COMMAND, ('"loss (.*)"', '⟪"loss .*"'))),
    "pattern-not-closed": ("HPT013", edited(COMMAND, ('"loss (.*)"', '⟪"loss ("'))),
    # training, HPT100 to HPT109
    "two-durations": ("HPT100", edited(MLP, ("steps: 100", "steps: 100\n  tokens: ⟪6400"))),
    "no-duration": ("HPT100", edited(MLP, ("training:\n  steps: 100", "training: ⟪{batch_size: 64}"))),
    "long-warmup": ("HPT101", edited(MLP, ("steps: 100", "steps: 100\n  warmup_steps: ⟪200"))),
    "floor-of-constant": (
        "HPT102",
        edited(MLP, ("steps: 100", "steps: 100\n  schedule: constant\n  floor: ⟪0.1")),
    ),
    "clip-norm-without-clip": ("HPT103", edited(MLP, ("steps: 100", "steps: 100\n  clip_norm: ⟪global"))),
    "float64-on-mps": (
        "HPT104",
        edited(MLP, ("steps: 100", "steps: 100\n  device: mps\n  precision: ⟪float64")),
    ),
    "too-many-parts": (
        "HPT105",
        edited(MLP, ("steps: 100", "steps: 100\n  batch_size: 4\n  accumulation: ⟪8")),
    ),
    "too-many-processes": (
        "HPT106",
        edited(MLP, ("steps: 100", "steps: 100\n  batch_size: 4\n  processes: ⟪8")),
    ),
    "arguments-of-another-loss": (
        "HPT108",
        edited(MLP, ("steps: 100", "steps: 100\n  loss_arguments: ⟪{mask_token: 3}")),
    ),
    "multiplier-of-nothing": (
        "HPT107",
        edited(MLP, (_SPACE, f"{_SPACE}\n    attention_multiplier: ⟪{{low: 0.5, high: 2}}")),
    ),
    "momentum-of-adamw": ("HPT109", edited(MLP, (_SPACE, f"{_SPACE}\n    momentum: ⟪{{low: 0.5, high: 0.99}}"))),
    # check, HPT110 to HPT119
    "both-keys": (
        "HPT110",
        MLP + "check: {hyperparameter: learning_rate, hyperparameters: ⟪[learning_rate]}\n",
    ),
    "checked-twice": ("HPT111", MLP + "check: {hyperparameters: [learning_rate, ⟪learning_rate]}\n"),
    "not-searched": ("HPT112", MLP + "check: {hyperparameter: ⟪warmup}\n"),
    "linear-scale": ("HPT113", edited(MLP, (_SPACE, "high: 1e-1, scale: ⟪linear}"))),
    "narrow-grid": ("HPT114", MLP + "check: {octaves: ⟪0.25}\n"),
    "trials-of-a-whole-grid": ("HPT119", MLP + "check: {max_trials: ⟪50}\n"),
    "no-bound": ("HPT115", MLP + "check: {criteria: {cost: ⟪null, drift: 0.1}}\n"),
    "steps-out-of-order": ("HPT116", MLP + "check: {coordinate: {steps: ⟪[1, 10, 3]}}\n"),
    "diagnostics-twice": ("HPT117", MLP + "check: {diagnostics: [sharpness, ⟪sharpness]}\n"),
    "lazy-mlp": ("HPT118", MLP + "check: {diagnostics: [⟪linearization]}\n"),
    # commands, HPT120 to HPT123
    "unknown-placeholder": ("HPT120", edited(COMMAND, ('["true", ', '["true", ⟪"--x={bogus}", '))),
    "accepts-unknown": ("HPT121", edited(COMMAND, ("training:", "  accepts: [⟪hiden.eps]\ntraining:"))),
    "seed-not-told": (
        "HPT122",
        edited(COMMAND, (f"command: {_WORDS}", 'command: ⟪["true", "{width}", "{learning_rate}"]')),
    ),
    "processes-of-a-command": ("HPT123", edited(COMMAND, ("{steps: 100}", "{steps: 100, processes: ⟪2}"))),
    # sizes, model, parameterization, HPT130 to HPT146
    "ladder-out-of-order": ("HPT130", edited(MLP, ("[64, 128, 256, 512]", "⟪[64, 256, 128, 512]"))),
    "one-width": ("HPT131", edited(MLP, ("[64, 128, 256, 512]", "⟪[64]"))),
    "ladder-without-proxy": ("HPT132", edited(MLP, ("[64, 128, 256, 512]", "⟪[32, 128, 256, 512]"))),
    "ladder-below-a-step": ("HPT133", edited(MLP, ("512]", "512]\n  tokens: ⟪[1, 6400, 12800]"))),
    "corner-without-depths": ("HPT134", edited(MLP, ("512]", "512]\n  corner: ⟪true"))),
    "odd-head": ("HPT135", edited(GPT, ("head_dim: 16", "head_dim: ⟪1"))),
    "depth-without-argument": (
        "HPT136",
        edited(_OWN, ("'net:make'", "'net:make', depth_argument: null"), ("1024, depth: 4", "1024, depth: ⟪4")),
    ),
    "vocabulary-below-the-data": (
        "HPT137",
        edited(GPT, ("16}", "16, vocabulary: ⟪100}"), (_TEXT, "{kind: tokens, train: ['*.yaml'], vocabulary: 512}")),
    ),
    "partial-head": ("HPT138", edited(GPT, ("[64, 128,", "[64, ⟪129,"))),
    "repeat-of-a-repeat": ("HPT139", edited(_OWN, ("'net:make'", "'net:make', queries: [⟪'(q+)+']"))),
    "pattern-over-names-not-closed": ("HPT139", edited(_OWN, ("'net:make'", "'net:make', queries: [⟪'q[']"))),
    "gauge-of-mlp": ("HPT140", edited(MLP, ("{name: mup}", "{name: mup, gauge: ⟪multipliers}"))),
    "alpha-of-mup": ("HPT141", edited(MLP, ("{name: mup}", "{name: mup, alpha: ⟪1.0}"))),
    "no-source": (
        "HPT142",
        edited(GPT, ("steps: 100", "steps: 100\n  optimizer: ⟪adafactor"), ("{name: completep}", "{name: u-mup}")),
    ),
    "muon-scale-of-adamw": ("HPT143", edited(MLP, ("{name: mup}", "{name: mup, muon_scale: ⟪original}"))),
    "own-init-of-u-mup": ("HPT144", edited(GPT, ("{name: completep}", "{name: u-mup, init: ⟪own}"))),
    "completep-of-mlp": ("HPT145", edited(MLP, ("{name: mup}", "{name: ⟪completep}"))),
    "eps-of-sgd": (
        "HPT146",
        edited(MLP, ("steps: 100", "steps: 100\n  optimizer: sgd"), ("{name: mup}", "{name: mup, eps: ⟪published}")),
    ),
    # search, target, trainer, HPT150 to HPT171
    "empty-range": ("HPT150", edited(MLP, ("low: 1e-4", "low: ⟪1e-1"))),
    "zero-on-a-log-scale": ("HPT151", edited(MLP, ("low: 1e-4", "low: ⟪0"))),
    "warmup-above-one": (
        "HPT152",
        edited(MLP, (_SPACE, f"{_SPACE}\n    warmup: {{low: 0, high: ⟪2, scale: linear}}")),
    ),
    "beta-of-one": ("HPT153", edited(MLP, (_SPACE, f"{_SPACE}\n    beta2: {{low: 0.5, high: ⟪1}}"))),
    "range-between-grid-points": ("HPT154", edited(MLP, ("low: 1e-4, high: 1e-1", "low: 0.51, high: ⟪0.74"))),
    "enqueued-name": ("HPT155", edited(MLP, ("tune:", "tune:\n  enqueue: [⟪{weight_decay: 0.1}]"))),
    "enqueued-outside": ("HPT156", edited(MLP, ("tune:", "tune:\n  enqueue: [{learning_rate: ⟪5.0}]"))),
    "small-target": ("HPT160", edited(MLP, ("{width: 1024", "{width: ⟪32"))),
    "target-below-a-step": ("HPT161", edited(MLP, ("depth: 4}", "depth: 4, tokens: ⟪1}"))),
    "accepts-what-is-checked": ("HPT162", edited(MLP, ("depth: 4}", "depth: 4, accept: [⟪learning_rate]}"))),
    "no-data": ("HPT165", edited(MLP, (_TEXT, "⟪{kind: external}"))),
    "measured-mlp": ("HPT166", edited(MLP, ("{name: mup}", "{name: ⟪measured}"))),
    "flops-of-a-command": ("HPT167", COMMAND + "budget: {flops: ⟪1e15}\n"),
    "few-trials-per-line": (
        "HPT170",
        edited(
            MLP, (_SPACE, f"{_SPACE}\n    hidden_init: {{low: 0.1, high: 2}}\n  trials: ⟪10\n  order: one-at-a-time")
        ),
    ),
    "few-trials-per-seed": ("HPT171", edited(MLP, ("tune:", "tune:\n  trials: ⟪8\n  seeds: 3"))),
    # what is expected, HPT180 to HPT185
    "expects-nothing": ("HPT180", MLP + "expect: ⟪{}\n"),
    "expects-what-is-not-tuned": ("HPT181", MLP + "expect: {optimum: {warmup: ⟪{low: 0.1, high: 0.3}}}\n"),
    "expected-loss-upside-down": ("HPT182", MLP + "expect:\n  prediction: ⟪{low: 2.5, high: 2.25}\n"),
    "expected-beyond-the-search": (
        "HPT183",
        MLP + "expect: {optimum: {learning_rate: ⟪{low: 1e-6, high: 1e-5}}}\n",
    ),
    "expected-loss-twice": ("HPT184", MLP + "expect: {prediction: ⟪{low: 2.25, high: 2.5, contains: 2.4}}\n"),
    "expects-without-a-larger-target": (
        "HPT185",
        edited(MLP, ("{width: 1024, depth: 4}", "{width: 64, depth: 2}")) + "expect: {prediction: ⟪{contains: 2.4}}\n",
    ),
    # caps that nobody needs to set
    "check-of-too-many-trials": ("HPT930", MLP + "check: ⟪{seeds: 100, octaves: 16, spacing: 0.03125}\n"),
    # what only `validate` checks, HPT200 to HPT299
    "short-ladder": ("HPT200", edited(MLP, ("  widths: [64, 128, 256, 512]", "  ⟪widths: [64, 128]"))),
    "small-base": ("HPT201", edited(MLP, ("{width: 64", "{⟪width: 32"), ("[64,", "[32, 64,"))),
    "one-seed": ("HPT202", MLP + "check: {⟪seeds: 1}\n"),
    "target-in-the-ladder": (
        "HPT203",
        edited(MLP, ("target: {width: 1024, depth: 4}", "⟪target: {width: 256, depth: 2}")),
    ),
    "warmup-all-run-long": ("HPT204", edited(MLP, ("steps: 100", "steps: 100\n  warmup: ⟪1"))),
    "short-text": (
        "HPT211",
        edited(MLP, ("{kind: mlp}", "{kind: mlp, context: 100}"), (_TEXT, "{kind: text, ⟪files: ['*.yaml']}")),
    ),
    "tokens-without-a-type": ("HPT212", edited(MLP, (_TEXT, "{kind: tokens, ⟪train: ['*.yaml'], vocabulary: 256}"))),
    "absent-data": ("HPT210", edited(MLP, (_TEXT, "{kind: text, files: [⟪none.txt]}"))),
    "momentum-not-read": ("HPT220", edited(MLP, ("steps: 100", "steps: 100\n  ⟪momentum: 0.5"))),
    "redundant-readout": (
        "HPT221",
        edited(
            MLP,
            (
                _SPACE,
                f"{_SPACE}\n    readout_init: {{low: 0.1, high: 10}}\n"
                "    readout_learning_rate: {low: 0.1, high: 10}\n"
                "    ⟪output_multiplier: {low: 0.1, high: 10}",
            ),
        ),
    ),
    "betas-out-of-range": (
        "HPT222",
        edited(
            GPT,
            ("completep", "complete-d-p"),
            ("target: {width: 1024, depth: 4}", "⟪target: {width: 1024, depth: 4, batch_size: 4096, tokens: 409600}"),
        ),
    ),
    "few-trials-in-all": ("HPT240", MLP + "budget: {⟪trials: 10}\n"),
    "few-trials-of-a-check": ("HPT241", MLP + "check: {adaptive: true, ⟪max_trials: 3}\n"),
    "misspelt-config": ("HPT250", edited(_HF, ("llama", "⟪lllama"))),
    "misspelt-setting": ("HPT251", edited(_HF, ("hidden_size: 64", "hidden_size: 64, ⟪hiden_act: silu"))),
    "kernel-from-elsewhere": (
        "HPT252",
        edited(_HF, ("hidden_size: 64", "hidden_size: 64, ⟪attn_implementation: org/kernel")),
    ),
    "setting-that-counts-too-much": (
        "HPT253",
        edited(_HF, ("hidden_size: 64", "hidden_size: 64, ⟪num_labels: 4097")),
    ),
    "absent-file": ("HPT230", edited(COMMAND, ("training:", "  ⟪files: [none.py]\ntraining:"))),
    "absent-script": ("HPT230", edited(COMMAND, ('"true",', '"python", ⟪"trian.py",'))),
    # comments, HPT950 to HPT954
    "comment-without-brackets": ("HPT950", MLP + "⟪# hptransfer: ignore HPT202 known\n"),
    "comment-without-reason": ("HPT951", MLP + "⟪# hptransfer: ignore[HPT202]\n"),
    "comment-on-nothing-known": ("HPT952", MLP + "check: {seeds: 2} ⟪# hptransfer: ignore[HPT299] known\n"),
    "comment-on-form": ("HPT953", MLP + "⟪# hptransfer: ignore[HPT010] known\n"),
    "comment-not-needed": ("HPT954", MLP + "check: {seeds: 2} ⟪# hptransfer: ignore[HPT202] known\n"),
}


def _unmarked(number: str, text: str) -> tuple[str, str, int, int]:
    before, _, after = text.partition(MARK)
    lines = before.split("\n")
    return number, before + after, len(lines), len(lines[-1]) + 1


#: name -> number of the rule, text, line, column
BROKEN = {name: _unmarked(*marked) for name, marked in _MARKED.items()}

"""Rules of committed evidence, which the level `evidence` checks; tests/evidence edits real files against each."""

from __future__ import annotations

from hptransfer.linting.base import StatedRule
from hptransfer.recipe.rule_text import Explanation

_AGAIN = (
    "run `hptransfer run RECIPE` with the same `--runs` and commit what it writes; the message says whether finished "
    "trials still fit"
)
_AS_WRITTEN = "take the file as the command wrote it: `git log -p` shows who changed it"
_WHOLE = "the file is as the command wrote it"
_REPEATED = "the run was repeated after the change"

RULES = (
    StatedRule(
        "evidence/none",
        "a recipe has its evidence beside it, or in the folder that `--runs` names",
        "error",
        "evidence",
        Explanation(
            "HPT400",
            "Without tuned.yaml and transfer.json nothing bears out what the recipe is used for.",
            "run `hptransfer run RECIPE` with the same `--runs`, and commit tuned.yaml, transfer.json and, where it "
            "was written, target.yaml",
            "runs/small/ is not committed",
            "runs/small/tuned.yaml, transfer.json and target.yaml are committed",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/unreadable",
        "files of evidence are what hptransfer wrote: regular files of bounded size, behind no link",
        "error",
        "evidence",
        Explanation(
            "HPT401",
            "What is not whole cannot be computed again, and a link may lead to a file that is no part of the change.",
            "commit the file as the command wrote it",
            "tuned.yaml -> /etc/passwd",
            "tuned.yaml is the file that `hptransfer tune` wrote",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/without-trials",
        "files of evidence carry their trials",
        "error",
        "evidence",
        Explanation(
            "HPT402",
            "Without trials nothing in the file can be computed again.",
            "run `hptransfer run RECIPE` with the same `--runs` and this version, which writes both files anew",
            "transfer.json has no section `evidence`: an earlier version wrote it",
            "transfer.json has its trials in `evidence`",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/edited-identity",
        "`identity` is the sha256 of what `evidence.identity` says",
        "error",
        "evidence",
        Explanation(
            "HPT403",
            "A file could otherwise say of its trials that they are of other rules, code or data than they are.",
            _AS_WRITTEN,
            "`evidence.identity.data` was changed by hand",
            _WHOLE,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/edited-trials",
        "each trial is that of its key, and its FLOPs are those of the recipe's model at its size",
        "error",
        "evidence",
        Explanation(
            "HPT404",
            "A trial whose key does not follow is not the one that was trained, and FLOPs decide what a drift costs.",
            _AS_WRITTEN,
            "the seed of `evidence.trials[3]` was changed by hand",
            _WHOLE,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/edited-fit",
        "what tuned.yaml says follows from the trials that it carries",
        "error",
        "evidence",
        Explanation(
            "HPT405",
            "A value that no fit of the trials gives would be carried to the target.",
            _AS_WRITTEN,
            "`recommended.learning_rate` was changed by hand",
            _WHOLE,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/edited-verdict",
        "what transfer.json says follows from the trials that it carries",
        "error",
        "evidence",
        Explanation(
            "HPT406",
            "A verdict that the trials do not bear out is no verdict.",
            _AS_WRITTEN,
            "`verdict: DRIFTS` was changed to TRANSFERS by hand",
            _WHOLE,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/stale-recipe",
        "evidence is of the recipe as it is now",
        "error",
        "evidence",
        Explanation(
            "HPT407",
            "What was tuned and checked is another recipe.",
            _AGAIN,
            "`training.steps` was changed after the run",
            _REPEATED,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/stale-model",
        "evidence is of the model that the recipe names now",
        "error",
        "evidence",
        Explanation(
            "HPT408",
            "Another model has other shapes and rules, and so may have another optimum.",
            _AGAIN,
            "a layer was added to the model after the run",
            _REPEATED,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/stale-rules",
        "evidence is of the rules that hold now",
        "error",
        "evidence",
        Explanation(
            "HPT409",
            "The trials were set by rules that this version no longer has.",
            _AGAIN,
            "the rule of a role changed between two versions of hptransfer",
            "the run was repeated with this version",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/stale-code",
        "evidence is of the code that trains now",
        "error",
        "evidence",
        Explanation(
            "HPT410",
            "Other code may train otherwise, and nothing in the files shows that it does not.",
            _AGAIN,
            "the module with the training function was changed after the run",
            _REPEATED,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/stale-data",
        "evidence is of the data that the recipe names now",
        "error",
        "evidence",
        Explanation(
            "HPT411",
            "Other data have other losses, and may have another optimum.",
            _AGAIN,
            "a file of `data.files` was changed after the run",
            _REPEATED,
            base=None,
        ),
    ),
    StatedRule(
        "evidence/other-values",
        "transfer was checked for the values in tuned.yaml",
        "error",
        "evidence",
        Explanation(
            "HPT412",
            "A verdict on other values says nothing about those that are carried.",
            "run `hptransfer check RECIPE` with the same `--runs`",
            "tuned.yaml was written anew, transfer.json is of the tuning before",
            "both files are of one `hptransfer run`",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/stale-target",
        "target.yaml is of the same recipe, rules, code and data as the evidence beside it",
        "error",
        "evidence",
        Explanation(
            "HPT413",
            "A target of other evidence has values that this evidence does not bear out.",
            "run `hptransfer scale RECIPE` with the same `--runs` again",
            "tuned.yaml was written anew, target.yaml is of the tuning before",
            "target.yaml was written after tuned.yaml",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/other-target",
        "target.yaml is what `scale` makes of the evidence",
        "error",
        "evidence",
        Explanation(
            "HPT414",
            "A rate that was changed by hand would train the target, under the name of the evidence.",
            "run `hptransfer scale RECIPE` with the same `--runs` again",
            "a learning rate of a group in target.yaml was changed by hand",
            "the file is as `hptransfer scale` wrote it",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/forced-target",
        "the evidence supports the target",
        "warning",
        "evidence",
        Explanation(
            "HPT415",
            "It was written with `--force`: its user relies on what was not shown. `--strict` makes it an error.",
            "say in the review why it is used",
            "target.yaml says FORCED: the verdict is DRIFTS",
            "the verdict is TRANSFERS, and target.yaml is not forced",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/other-environment",
        "evidence is of the torch, platform and Python that train here",
        "warning",
        "evidence",
        Explanation(
            "HPT416",
            "Losses differ by rounding, or by Python's own text. `--strict` makes it an error.",
            "nothing need be done where both give the same losses; `hptransfer verify` compares the target's run",
            "the trials are of another version of torch",
            "the trials are of the torch that is installed",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/other-words",
        "the sentences of evidence are those of this version",
        "warning",
        "evidence",
        Explanation(
            "HPT417",
            "A release may word a sentence otherwise, and then nothing tells its old words from edited ones; numbers "
            "and verdicts are compared all the same. `--strict` makes it an error.",
            "write the files anew by `hptransfer run` with the same `--runs`",
            "the file is of version 0.2, and its sentence is not the one that this version writes",
            "the file is of version 0.2, and its sentence is the one that this version writes",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/later-version",
        "the sentences of evidence are of no later version than the one that reads them",
        "error",
        "evidence",
        Explanation(
            "HPT420",
            "An earlier version does not know how a later one words a sentence, so that nothing tells such words from "
            "edited ones. What the file states of its version is compared with nothing else.",
            "install that version or a later one, and validate again; if there is none, take the file as written",
            "the file is of version 0.3, its sentence is not the one of version 0.2, and 0.2 reads it",
            "the file is of version 0.3, and 0.3 or a later one reads it",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/former-target",
        "evidence is of the target, and of the accepted axes, that the recipe names now",
        "error",
        "evidence",
        Explanation(
            "HPT418",
            "Trials that fit say nothing yet of a target that nobody judged by them, and what is accepted is part of "
            "the judgement.",
            "run `hptransfer check RECIPE`, then `hptransfer scale RECIPE`: finished trials are reused",
            "`sizes.target.width` was raised from 4096 to 8192 after the check",
            "the check was repeated after the target changed",
            base=None,
        ),
    ),
    StatedRule(
        "evidence/shared",
        "recipes that are checked together have evidence of their own",
        "error",
        "evidence",
        Explanation(
            "HPT419",
            "The run folder has the name of the recipe. Two recipes of one name are judged by the same files, and "
            "running one of them replaces the evidence of the other.",
            "give one of them another `name`, and run it",
            "copy.yaml and small.yaml both say `name: small`",
            "copy.yaml says `name: small-copy`, and has evidence in runs/small-copy",
            base=None,
        ),
    ),
)

"""The recipe: what a user writes, typed, with every fault located (`file:line:column`).

schema      `Recipe` and its sections
training    the `training` section
numbers     ranges of numbers that sections share
sections    what sections are made of that other rooms define
registered  names in a recipe that a registry knows
objective   the unit of losses, and what they are measured on, in words
load        `load_recipe(reference)`: from a path or a shipped recipe's name, all faults at once
shipped     the recipes and templates that come with the package
rules       rules across keys, a file per topic
rule_text   what a rule says about itself: number, reason, examples, repair
form_rules  rules on the form, with their codes
text_forms  regular expressions of texts, and what they ask for in words
faults      findings from what pydantic refused, each with its code
changes     how two versions of a recipe differ, key by key
defaults    hyperparameters as the `training` section gives them
quantities  durations and amounts of memory with their units
suggestion  what a mistyped word probably meant
"""

__all__ = [
    "changes",
    "command_guess",
    "command_sections",
    "data_skeleton",
    "defaults",
    "form_rules",
    "load",
    "model_draft",
    "model_sections",
    "objective",
    "own_code",
    "placeholders",
    "quantities",
    "registered",
    "result_sections",
    "rule_text",
    "rules",
    "schema",
    "sections",
    "shipped",
    "size_names",
    "suggestion",
    "text_forms",
    "trainer_sections",
    "training",
    "yaml",
]

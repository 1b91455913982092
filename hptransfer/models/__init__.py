"""Models: plain PyTorch, reading which parameters a model has and what each is for, and applying a plan to it.

api            `hptransfer.plan`: from a model that nobody changed to an applied plan
build          a recipe's `model` section -> a module (gpt, mlp, factory, huggingface), and its FLOPs
shape_reading  the parameters of a model with their roles, from shapes at several sizes
applied_init   what `init_` does: scales what a model's own code drew, draws and fills the rest
applied_plan   a plan's initialisation and parameter groups for a module
logit_scale    the factor of a tied readout, applied from outside
audit          what silently undoes a plan
base_shapes    mup's `.bsh` files
"""

__all__ = [
    "api",
    "applied_plan",
    "audit",
    "base_shapes",
    "build",
    "config_families",
    "config_keys",
    "config_multipliers",
    "configuration",
    "first_run",
    "forward_cost",
    "huggingface",
    "logit_scale",
    "model_record",
    "planning",
    "questions",
    "recipe_reading",
    "shape_reading",
    "size_arguments",
    "survey",
    "unplanned",
]

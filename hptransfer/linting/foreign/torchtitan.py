"""torchtitan: configurations as functions of a `config_registry.py`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from hptransfer.linting.foreign._against_plan import number
from hptransfer.linting.foreign._group_values import GroupValue, group_rule
from hptransfer.linting.foreign._patterns import TORCHTITAN, searched
from hptransfer.linting.foreign.base import Example, Framework, RuleForm, Trap
from hptransfer.linting.planned import same
from hptransfer.linting.reading.python import Call, Module, imported_packages, module_of
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown

_GROUP = "ParamGroupConfig"
_SCHEDULE = "LRSchedulersContainer.Config"
_WARMUP = 200
#: what torch's own defaults, or those of DistMuon, decide where a group says nothing
_SILENT = {"AdamW": ("betas", "eps", "weight_decay"), "Adam": ("betas", "eps"), "DistMuon": ("momentum",)}


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.tree is None:
        return ()
    if "torchtitan" in imported_packages(file.tree):
        return ("import torchtitan",)
    module = module_of(file)
    names = {call.last for call in module.calls} if module else set()
    return tuple(sorted(names & {_GROUP, "OptimizersContainer", "default_adamw"}))


def _groups(module: Module) -> Iterator[list[Call]]:
    """The groups of each list that holds nothing else, in its order: first match wins in it."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            continue
        calls = [call for each in node.elts if (call := module.call_of(each)) is not None and call.last == _GROUP]
        if len(calls) == len(node.elts):
            yield calls


def _patterns(module: Module, calls: list[Call]) -> list[tuple[Call, str]] | None:
    """Each group with its pattern; None where one is not known."""
    found = [(call, module.value(call.argument("pattern"))) for call in calls]
    known = [(call, pattern) for call, pattern in found if isinstance(pattern, str)]
    return known if len(known) == len(found) else None


def _functions(module: Module) -> Iterator[ast.AST]:
    """Functions at the top, each the configuration of one run; the module where there is none."""
    functions: list[ast.AST] = [node for node in module.tree.body if isinstance(node, ast.FunctionDef)]
    yield from functions or [module.tree]


def _inside(module: Module, scope: ast.AST) -> list[Call]:
    nodes = {id(node) for node in ast.walk(scope)}
    return [call for call in module.calls if id(call.node) in nodes]


def _asked(check: Callable[[Module, ForeignFile], Iterator[Trap]]) -> Callable[[ForeignFile], Iterator[Trap]]:
    def asked(file: ForeignFile) -> Iterator[Trap]:
        module = module_of(file)
        if module is not None:
            yield from check(module, file)

    return asked


def _keywords(module: Module, call: Call) -> dict[str, ast.expr] | None:
    """The optimizer's arguments of a group; None where they are not all seen."""
    if call.open:
        return None
    given = call.argument("optimizer_kwargs")
    return {} if given is None else module.mapping(given)


def _no_rate(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for call in module.named(_GROUP):
        keywords = _keywords(module, call)
        if keywords is not None and "lr" not in keywords:
            pattern = shown(module.source(call.argument("pattern") or call.node))
            yield Trap(module.place(call.node), f"the group {pattern} has no lr: torch's own default, 0.001 for Adam")


def _defaults(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for call in module.named(_GROUP):
        keywords = _keywords(module, call)
        name = module.value(call.argument("optimizer_name"))
        if keywords is None or "lr" not in keywords:
            continue
        missing = [each for each in _SILENT.get(str(name), ()) if each not in keywords]
        if missing:
            pattern = shown(module.source(call.argument("pattern") or call.node))
            yield Trap(module.place(call.node), f"the group {pattern} has no {', '.join(missing)}")


def _shadowed(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for calls in _groups(module):
        taken: frozenset[str] = frozenset()
        for call, pattern in _patterns(module, calls) or ():
            names = searched(pattern, TORCHTITAN)
            if names is None:
                break
            if names and names <= taken:
                yield Trap(module.place(call.argument("pattern") or call.node), f"pattern {shown(pattern)!r}")
            taken |= names


def _uncovered(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for calls in _groups(module):
        known = _patterns(module, calls)
        found = [searched(pattern, TORCHTITAN) for _, pattern in known or ()]
        names = [each for each in found if each is not None]
        covered = frozenset().union(*names)
        if not found or len(names) < len(found) or not covered:
            continue  # names of another model
        left = [name for name in TORCHTITAN if name not in covered and "qkv_linear" not in name]  # those may be fused
        if left:
            yield Trap(module.place(calls[-1].node), f"no group for {', '.join(left[:3])}")


def _stages(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for scope in _functions(module):
        calls = _inside(module, scope)
        groups = [call for call in calls if call.last == _GROUP]
        for call in calls:
            stages = module.number(call.argument("pipeline_parallel_degree"))
            if stages is None or stages <= 1:
                continue
            for group in groups:
                pattern = module.value(group.argument("pattern"))
                names = searched(pattern, TORCHTITAN) if isinstance(pattern, str) else None
                if names and all(not name.startswith("layers.") for name in names):
                    said = f"pattern {shown(pattern)!r} with pipeline_parallel_degree {stages:g}"
                    yield Trap(module.place(group.argument("pattern") or group.node), said)


def _warmup(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for scope in _functions(module):
        calls = _inside(module, scope)
        steps = [
            value
            for call in calls
            if call.last == "TrainingConfig" and (value := module.number(call.argument("steps"))) is not None
        ]
        for call in calls:
            if not call.name.endswith(_SCHEDULE) or call.open or call.argument("warmup_steps") is not None:
                continue
            total = module.number(call.argument("total_steps")) or (steps[0] if len(steps) == 1 else None)
            if total is not None and total < 5 * _WARMUP:
                yield Trap(module.place(call.node), f"no warmup_steps: {_WARMUP} of {total:g} steps")


def _muon(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for call in module.named(_GROUP):
        keywords = _keywords(module, call)
        muon = module.value(call.argument("optimizer_name")) == "DistMuon"
        if muon and keywords is not None and "adjust_lr_fn" not in keywords:
            yield Trap(module.place(call.node), "DistMuon without adjust_lr_fn: sqrt(max(1, out/in))")


def _not_scaled(module: Module, file: ForeignFile) -> Iterator[Trap]:
    plan = file.plan
    if plan is None or not plan.hidden:
        return
    for scope in _functions(module):
        calls = [call for call in _inside(module, scope) if call.last in {_GROUP, "default_adamw"}]
        rates = []
        for call in calls:
            given = (
                call.argument("lr", 0) if call.last == "default_adamw" else (_keywords(module, call) or {}).get("lr")
            )
            rates.append((given, module.number(given)))
        if rates and all(same(rate, plan.learning_rate) for _, rate in rates):
            needed = ", ".join(number(rate) for rate in plan.hidden)
            where = rates[0][0] or calls[0].node
            yield Trap(module.place(where), f"{number(rates[0][1] or 0)} for all; hidden weights need {needed}")


def _values(file: ForeignFile) -> Iterator[GroupValue]:
    module, plan = module_of(file), file.plan
    if module is None or plan is None:
        return
    for calls in _groups(module):
        left = frozenset(plan.trained)
        for call, pattern in _patterns(module, calls) or ():
            names = searched(pattern, tuple(left))
            if names is None:
                break
            left -= names
            if module.value(call.argument("optimizer_name")) == "DistMuon":
                continue  # its rate is said before a factor of the shape, which the plan has in it
            keywords = _keywords(module, call) or {}
            for key, quantity in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
                if (node := keywords.get(key)) is not None:
                    yield GroupValue(names, pattern, quantity, module.number(node), module.place(node))


_IMPORTS = "from torchtitan.components.optimizer import ParamGroupConfig, default_adamw\n\n"
_rule = RuleForm("torchtitan", "config_registry.py", lambda text: _IMPORTS + text, _asked)
_ALL = "betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1"


def _group(pattern: str, keywords: str, name: str = "AdamW") -> str:
    return f'    ParamGroupConfig(pattern=r"{pattern}", optimizer_name="{name}", optimizer_kwargs=dict({keywords})),\n'


def _listed(*groups: str) -> str:
    return "groups = [\n" + "".join(groups) + "]\n"


_NORM_PLANNED = _group(r"^norm\.weight$", f"lr=0.01, {_ALL}")
_EXPORT = f"# Written by hptransfer for torchtitan (format torchtitan; read at 0.3.0).\n{_IMPORTS}"
_REST = _group(".*", f"lr=1e-3, {_ALL}")
_HEAD = _group(r"^lm_head\.weight$", f"lr=2e-3, {_ALL}")
_CONFIG = """\
def run():
    return Trainer.Config(
        training=TrainingConfig(steps=500),
        lr_scheduler=LRSchedulersContainer.Config({}),
    )
"""
_PARALLEL = "parallelism = ParallelismConfig(pipeline_parallel_degree={})\n"

FRAMEWORK = Framework(
    "torchtitan: configurations in Python, functions of a `config_registry.py`.",
    "0.3.0",
    _marks,
    (
        _rule(
            "group-without-rate",
            "each `ParamGroupConfig` has its own `lr`",
            "Nothing is inherited: torch's default of the optimizer is taken.",
            "add `lr` to `optimizer_kwargs`",
            _listed(_group(".*", _ALL)),
            _listed(_REST),
            "ParamGroupConfig(pattern",
            _no_rate,
        ),
        _rule(
            "group-defaults",
            "each `ParamGroupConfig` has its own betas, eps, weight decay and momentum",
            "Nothing is inherited: torch's defaults are taken, beta2 0.999 and weight decay 0.01 for AdamW.",
            "write every value into `optimizer_kwargs`, as they were tuned",
            _listed(_group(".*", "lr=1e-3")),
            _listed(_REST),
            "ParamGroupConfig(pattern",
            _defaults,
            "warning",
        ),
        _rule(
            "shadowed-pattern",
            "each pattern matches parameters that none before it matches",
            "Patterns are searched in the name, not matched with the whole of it, and the first one that is found "
            "wins: a later one gives nothing its rate, or is refused.",
            "put the narrow pattern first, and anchor it: `^lm_head\\.weight$`",
            _listed(_REST, _HEAD),
            _listed(_HEAD, _REST),
            'r"^lm_head',
            _shadowed,
        ),
        _rule(
            "no-catch-all",
            "every trainable parameter has a group",
            "A parameter without one is an error when the run starts.",
            'end the list with a group of `pattern=r".*"`',
            _listed(_HEAD),
            _listed(_HEAD, _REST),
            "ParamGroupConfig(pattern",
            _uncovered,
            "warning",
        ),
        _rule(
            "pipeline-stages",
            "patterns of table or readout are given without pipeline stages",
            "Every stage must have a parameter for each pattern, and a stage in the middle has neither: a ValueError.",
            "use `pipeline_parallel_degree=1`, with tensor or data parallelism instead",
            _PARALLEL.format(2) + _listed(_HEAD, _REST),
            _PARALLEL.format(1) + _listed(_HEAD, _REST),
            'r"^lm_head',
            _stages,
        ),
        _rule(
            "warmup-steps",
            "a short run says its `warmup_steps`",
            "200 steps where nothing is said, whatever the length of the run.",
            "write `warmup_steps`, the share of the steps that was tuned",
            _CONFIG.format('decay_type="cosine"'),
            _CONFIG.format('decay_type="cosine", warmup_steps=50'),
            "LRSchedulersContainer.Config",
            _warmup,
            "warning",
        ),
        _rule(
            "muon-scale",
            "`DistMuon` is given `adjust_lr_fn`",
            "Where nothing is said the rate is multiplied by sqrt(max(1, out/in)), which is not what others do.",
            "write the function that was tuned with; `spectral_unclamped` is sqrt(out/in)",
            _listed(_group(".*", "lr=0.02, momentum=0.95", "DistMuon")),
            _listed(_group(".*", 'lr=0.02, momentum=0.95, adjust_lr_fn="spectral_unclamped"', "DistMuon")),
            "ParamGroupConfig(pattern",
            _muon,
            "warning",
        ),
        _rule(
            "not-scaled",
            "a rate of the base size is scaled by something",
            "torchtitan scales nothing: the base rate for all groups is too large for hidden weights by the width "
            "multiplier.",
            "export the plan: `hptransfer scale --format torchtitan`",
            "optimizer = default_adamw(lr=0.01)\n",
            _listed(_group(r"^tok_embeddings\.", f"lr=0.01, {_ALL}"), _group(".*", f"lr=0.0025, {_ALL}")),
            "0.01",
            _not_scaled,
            needs_plan=True,
        ),
        group_rule(
            "torchtitan",
            Example(
                _EXPORT + _listed(_group(r"feed_forward\.w1", f"lr=0.0003125, {_ALL}"), _NORM_PLANNED),
                _EXPORT + _listed(_group(r"feed_forward\.w1", f"lr=0.0025, {_ALL}"), _NORM_PLANNED),
                "0.0003125",
                "config_registry.py",
            ),
            _values,
        ),
    ),
)

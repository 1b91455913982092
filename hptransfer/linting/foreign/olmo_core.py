"""OLMo-core: training scripts that build its configurations."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from hptransfer.linting.foreign._against_plan import number
from hptransfer.linting.foreign._group_values import GroupValue, group_rule
from hptransfer.linting.foreign._patterns import OLMO_CORE, globbed
from hptransfer.linting.foreign.base import Example, Framework, RuleForm, Trap
from hptransfer.linting.planned import same
from hptransfer.linting.reading.python import Call, Module, imported_packages, module_of
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown

_OVERRIDE = "OptimGroupOverride"
_ADAM = ("AdamWConfig", "SkipStepAdamWConfig", "AdamConfig")
_MATRIX = ("MuonConfig", "DionConfig", "NorMuonConfig")


def _marks(file: ForeignFile) -> tuple[str, ...]:
    if file.tree is None:
        return ()
    if "olmo_core" in imported_packages(file.tree):
        return ("import olmo_core",)
    module = module_of(file)
    return (_OVERRIDE,) if module and any(module.named(_OVERRIDE)) else ()


def _asked(check: Callable[[Module, ForeignFile], Iterator[Trap]]) -> Callable[[ForeignFile], Iterator[Trap]]:
    def asked(file: ForeignFile) -> Iterator[Trap]:
        module = module_of(file)
        if module is not None:
            yield from check(module, file)

    return asked


def _overrides(module: Module, call: Call) -> list[Call]:
    """The overrides that an optimizer's configuration lists."""
    listed = module.items(call.argument("group_overrides")) or []
    return [each for node in listed if (each := module.call_of(node)) is not None and each.last == _OVERRIDE]


def _globs(module: Module, call: Call) -> list[tuple[ast.expr, str]]:
    nodes = module.items(call.argument("params", 0)) or []
    return [(node, value) for node in nodes if isinstance(value := module.value(node), str)]


def _options(module: Module, call: Call) -> dict[str, ast.expr]:
    return module.mapping(call.argument("opts", 1)) or {}


def _overlapping(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for optimizer in module.calls:
        taken: dict[str, str] = {}
        for override in _overrides(module, optimizer):
            own: dict[str, str] = {}
            for node, glob in _globs(module, override):
                names = globbed(glob, OLMO_CORE) or {glob}
                both = next((name for name in sorted(names) if name in taken), None)
                if both is not None:
                    said = f"{shown(glob)!r} and {shown(taken[both])!r}"
                    yield Trap(module.place(node), f"{said}: both match {shown(both)}")
                own |= dict.fromkeys(names, glob)
            taken |= own


def _floors(module: Module, file: ForeignFile) -> Iterator[Trap]:
    several = any("lr" in _options(module, call) for call in module.named(_OVERRIDE))
    if not several and not (file.plan is not None and file.plan.several):
        return
    for call in module.calls:
        for name in ("warmup_min_lr", "decay_min_lr"):
            value = call.keywords.get(name)
            if value is not None and (module.number(value) or 0) > 0:
                yield Trap(module.place(value), f"{name}={shown(module.source(value))}")


def _matrix(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for call in module.named(*_MATRIX):
        given = call.argument("group_overrides")
        if given is not None and not (isinstance(given, ast.Constant) and given.value is None):
            yield Trap(module.place(given), f"{call.last} with group_overrides")


def _foreign_names(module: Module, file: ForeignFile) -> Iterator[Trap]:
    for call in module.named(_OVERRIDE):
        for node, glob in _globs(module, call):
            if glob.startswith(("model.", "layers.", "tok_embeddings", "transformer.h", "embed_tokens")):
                yield Trap(module.place(node), shown(glob))


def _embedding_decay(module: Module, file: ForeignFile) -> Iterator[Trap]:
    planned = file.plan.decays.get("embedding", ()) if file.plan is not None else ()
    for call in module.named(_OVERRIDE):
        for node, glob in _globs(module, call):
            value = _options(module, call).get("weight_decay")
            found = module.number(value)
            if globbed(glob, OLMO_CORE) != frozenset({"embeddings.weight"}) or found is None or len(planned) != 1:
                continue
            if not same(found, planned[0]) and found != planned[0]:
                yield Trap(module.place(value or node), f"weight decay {found:g}, planned {planned[0]:g}")


def _not_scaled(module: Module, file: ForeignFile) -> Iterator[Trap]:
    plan = file.plan
    if plan is None or not plan.hidden:
        return
    for call in module.named(*_ADAM):
        rate = call.argument("lr", 0)
        given = call.argument("group_overrides")
        seen = given is None or module.items(given) is not None
        own = any("lr" in _options(module, each) for each in _overrides(module, call))
        if rate is not None and seen and not own and same(module.number(rate), plan.learning_rate):
            needed = ", ".join(number(each) for each in plan.hidden)
            yield Trap(module.place(rate), f"{shown(module.source(rate))} for all; hidden weights need {needed}")


def _values(file: ForeignFile) -> Iterator[GroupValue]:
    module, plan = module_of(file), file.plan
    if module is None or plan is None:
        return
    for call in module.named(_OVERRIDE):
        globs = [glob for _, glob in _globs(module, call)]
        names = {name for glob in globs for name in globbed(glob, tuple(plan.trained)) or ()}
        for key, quantity in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
            if (node := _options(module, call).get(key)) is not None:
                yield GroupValue(names, ", ".join(globs), quantity, module.number(node), module.place(node))


_IMPORTS = "from olmo_core.optim import AdamWConfig, CosWithWarmup, MuonConfig, OptimGroupOverride\n\n"
_rule = RuleForm("olmo-core", "train.py", lambda text: _IMPORTS + text, _asked)


def _adamw(*overrides: str, schedule: str = "") -> str:
    listed = "".join(f"        {each},\n" for each in overrides)
    return f"optim = AdamWConfig(\n    lr=1e-3,\n    group_overrides=[\n{listed}    ],\n)\n{schedule}"


def _override(glob: str, options: str) -> str:
    return f'OptimGroupOverride(params=["{glob}"], opts=dict({options}))'


_EXPORT = f"# Written by hptransfer for OLMo-core (format olmo-core; read at 3.0.0).\n{_IMPORTS}"
_MATRICES = _override("blocks.*.w_q.weight", "lr=1e-4")

FRAMEWORK = Framework(
    "OLMo-core: scripts that build its configurations.",
    "3.0.0",
    _marks,
    (
        _rule(
            "overlapping-globs",
            "each parameter is matched by the globs of one override",
            "A parameter in two groups is an error of torch when the run starts.",
            "name each kind of parameter in one override, or give what they share to one of the two",
            _adamw(_override("blocks.*.weight", "lr=1e-4"), _override("blocks.*.w_q.weight", "lr=2e-4")),
            _adamw(_override("blocks.*.w1.weight", "lr=1e-4"), _override("blocks.*.w_q.weight", "lr=2e-4")),
            '"blocks.*.w_q',
            _overlapping,
        ),
        _rule(
            "absolute-min-lr",
            "`warmup_min_lr` and `decay_min_lr` are 0 where groups have rates of their own",
            "They are absolute and the same for all groups, so ratios are not kept; each must be below every rate.",
            "leave them at 0; `alpha_f` is a share of each group's rate",
            _adamw(_MATRICES, schedule="scheduler = CosWithWarmup(warmup=100, warmup_min_lr=1e-5)\n"),
            _adamw(_MATRICES, schedule="scheduler = CosWithWarmup(warmup=100, alpha_f=0.1)\n"),
            "1e-5)",
            _floors,
            "warning",
        ),
        _rule(
            "matrix-overrides",
            "Muon and Dion are given no `group_overrides`",
            "They build their own groups, and raise a RuntimeError.",
            "delete `group_overrides`, or use AdamWConfig",
            f"optim = MuonConfig(lr=0.02, group_overrides=[{_MATRICES}])\n",
            "optim = MuonConfig(lr=0.02)\n",
            "[OptimGroupOverride",
            _matrix,
        ),
        _rule(
            "foreign-names",
            "globs are of OLMo-core's names",
            "A glob that matches nothing is an error when the run starts.",
            "use OLMo-core's names: `embeddings.weight`, `blocks.*.attention.w_q.weight`, `lm_head.w_out.weight`",
            _adamw(_override("model.layers.*.mlp.up_proj.weight", "lr=1e-4")),
            _adamw(_override("blocks.*.feed_forward.w1.weight", "lr=1e-4")),
            '"model.layers',
            _foreign_names,
            "warning",
        ),
        _rule(
            "embedding-decay",
            "the embedding decays as it was planned",
            "Recipes of OLMo-core take it out of weight decay, most plans do not.",
            "write the plan's weight decay for `embeddings.weight`",
            _adamw(_override("embeddings.weight", "lr=1e-2, weight_decay=0.0"), _MATRICES),
            _adamw(_override("embeddings.weight", "lr=1e-2, weight_decay=0.1"), _MATRICES),
            "0.0)",
            _embedding_decay,
            needs_plan=True,
        ),
        _rule(
            "not-scaled",
            "a rate of the base size is scaled by something",
            "OLMo-core scales nothing: the base rate for all parameters is too large for hidden weights by the width "
            "multiplier.",
            "export the plan: `hptransfer scale --format olmo-core`",
            "optim = AdamWConfig(lr=0.01)\n",
            f"optim = AdamWConfig(lr=0.01, group_overrides=[{_MATRICES}])\n",
            "0.01",
            _not_scaled,
            needs_plan=True,
        ),
        group_rule(
            "olmo-core",
            Example(
                _EXPORT + _adamw(_override("blocks.*.feed_forward.w1.weight", "lr=0.0003125, weight_decay=0.1")),
                _EXPORT + _adamw(_override("blocks.*.feed_forward.w1.weight", "lr=0.0025, weight_decay=0.1")),
                "0.0003125",
                "train.py",
            ),
            _values,
        ),
    ),
)

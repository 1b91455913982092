"""The text of `hptransfer_hf.py`: what a script with transformers imports, without hptransfer."""

from __future__ import annotations

#: where a model of transformers is built from config.json
BUILD = '''

def build_model(**options):  # options as `from_config` takes them; call transformers.set_seed before
    """The model of config.json, initialised as planned."""
    config = transformers.AutoConfig.from_pretrained(HERE)
    model = transformers.@AUTO@.from_config(config, **options)
    init_(model)
    multiply_logits(model)
    return model


def multiply_logits(model):
    """A checkpoint does not hold this factor: call it as well on a model that `from_pretrained` has loaded."""
    head = model.get_output_embeddings()
    for key, hook in list(head._forward_pre_hooks.items()):
        if getattr(hook, "func", None) is _multiplied:  # a second call multiplies nothing twice
            del head._forward_pre_hooks[key]
    if LOGITS != 1:
        head.register_forward_pre_hook(functools.partial(_multiplied, LOGITS))


def _multiplied(factor, module, inputs):
    return (factor * inputs[0], *inputs[1:])
'''

#: of a model whose logits nothing multiplies
BUILD_PLAIN = '''

def build_model(**options):  # options as `from_config` takes them; call transformers.set_seed before
    """The model of config.json, initialised as planned."""
    config = transformers.AutoConfig.from_pretrained(HERE)
    model = transformers.@AUTO@.from_config(config, **options)
    init_(model)
    return model
'''

CORE = '''

def training_arguments(**changes):
    """training_args.json as TrainingArguments, some of them changed."""
    return transformers.TrainingArguments(**(json.loads((HERE / "training_args.json").read_text()) | changes))


def rows(model):
    """Every parameter with its row; a name without one row, another shape and a row left over are errors."""
    count = dict.fromkeys((row["pattern"] for row in ROWS), 0)
    for name, tensor in model.named_parameters():
        name = re.sub(r"(^module\\.|_orig_mod\\.|_fsdp_wrapped_module\\.|_checkpoint_wrapped_module\\.)", "", name)
        found = [row for row in ROWS if re.fullmatch(row["pattern"], name)]
        if len(found) != 1 or list(tensor.shape) != found[0]["shape"]:
            shapes = [row["shape"] for row in found]
            raise ValueError(f"{name} {tuple(tensor.shape)}: no row of the plan, which has {shapes}")
        count[found[0]["pattern"]] += 1
        yield tensor, found[0]
    left = [row["pattern"] for row in ROWS if count[row["pattern"]] != row["count"]]
    if left:
        raise ValueError(f"the model lacks parameters of the plan: {left}")


@torch.no_grad()
def init_(model):
    """Starts every parameter as planned; of a model that is fresh from its own code, and once."""
    if getattr(model, "_hptransfer_started", False):
        raise RuntimeError("init_ scales what the model's own code drew, so it can be called once only")
    for tensor, row in list(rows(model)):
        how, value = row["init"]
        if how == "scale":
            tensor.mul_(value)
        elif how == "draw":
            tensor.normal_(std=value)
        elif how == "fill":
            tensor.fill_(value)
    model._hptransfer_started = True


def _moved(row, key, given):  # the row's value, moved as that of the base was
    if given == BASE[key]:
        return row[key]
    if not BASE[key]:
        raise ValueError(f"{key} was planned as 0: no row says how another value scales")
    return row[key] * (given / BASE[key])


def param_groups(model, args):
    """Parameters with equal values together; those that take no gradient are in none."""
    groups = {}
    for tensor, row in rows(model):
        if row["learning_rate"] is None:
            continue
        values = {
            "lr": _moved(row, "learning_rate", args.learning_rate),
            "weight_decay": _moved(row, "weight_decay", args.weight_decay),
        }
        if row["eps"] is not None:
            values["eps"] = _moved(row, "eps", args.adam_epsilon)
        if "optimizer" in row:
            values["optimizer"] = row["optimizer"]
        groups.setdefault(tuple(values.items()), []).append(tensor)
    return [{"params": tensors, **dict(values)} for values, tensors in groups.items()]


def optimizer(model, args):
    """The plan's optimizer; betas are those of args."""
    groups = param_groups(model, args)
    return @CONSTRUCTOR@


def optimizer_cls_and_kwargs(args):
    """For Trainer(optimizer_cls_and_kwargs=...), which makes an OptimizerFactory and calls it with its model."""
@GUARD@    return OptimizerFactory, {"args": args}


class OptimizerFactory:
    def __call__(self, model, args):
        return optimizer(model, args)


def optimizers(model, args):
    """For Trainer(optimizers=...) and loops of one's own: the schedule is the plan's, step by step."""
    made = optimizer(model, args)
    return made, torch.optim.lr_scheduler.LambdaLR(made, factor)


'''

#: where transformers has no schedule of the plan's shape
GUARD = """\
    raise RuntimeError("transformers has no schedule of this shape: use Trainer(optimizers=optimizers(model, args))")
"""

MUON = '''\
class MuonAndAdamW(torch.optim.Optimizer):
    """torch's own two, stepped as one: they share its groups and its state."""

    def __init__(self, groups, lr, momentum, betas):
        for group in groups:
            muon = group["optimizer"] == "muon"
            group.update({"momentum": momentum, "adjust_lr_fn": @SCALE@} if muon else {"betas": betas})
        super().__init__(groups, {"lr": lr})
        self._bind()

    def _bind(self):
        self.parts = []
        for name, make in (("muon", torch.optim.Muon), ("adamw", torch.optim.AdamW)):
            groups = [group for group in self.param_groups if group["optimizer"] == name]
            if groups:
                self.parts.append(make(groups))
                self.parts[-1].state = self.state

    def __setstate__(self, state):
        super().__setstate__(state)
        self._bind()

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss


'''

USAGE = """\
#
# With Trainer; its own warmup starts one step later than the plan's, at 0; pass optimizers=optimizers(model, args)
# instead of optimizer_cls_and_kwargs for the plan's to the step (not under FSDP):
#   args = hptransfer_hf.training_arguments(output_dir="out")
#   transformers.set_seed(args.seed)
#   model = @MODEL@
#   Trainer(
#       model, args, train_dataset=..., optimizer_cls_and_kwargs=hptransfer_hf.optimizer_cls_and_kwargs(args)
#   ).train()
# With accelerate; make args before Accelerator(), whose state TrainingArguments reset; do not prepare the scheduler,
# accelerate would step it once per process:
#   optimizer, scheduler = hptransfer_hf.optimizers(model, args)
#   model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
#   for batch in loader:
#       accelerator.backward(model(**batch).loss)
#       if args.max_grad_norm > 0: accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
#       optimizer.step(); scheduler.step(); optimizer.zero_grad()

"""

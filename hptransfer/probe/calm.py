"""Run a user's code without a trace: its draws are seeded, what it prints is kept, every global state is given back."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import traceback
import warnings
from collections.abc import Iterator

import torch
from torch import nn

from hptransfer.probe.places import user_file


@contextlib.contextmanager
def calm(seed: int = 0) -> Iterator[None]:
    """A context whose draws are seeded; afterwards all generators of the CPU are as before, and nothing was printed.

    Args:
        seed: seed of all generators of the CPU.
    """
    python, numpy = random.getstate(), sys.modules.get("numpy")
    arrays = numpy.random.get_state() if numpy is not None else None
    dtype, silenced = torch.get_default_dtype(), logging.root.manager.disable
    printed = io.StringIO()
    with (
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)  # handlers keep the streams that they were made with
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        if numpy is not None:
            numpy.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            torch.set_default_dtype(dtype)
            logging.disable(silenced)
            if numpy is not None:
                numpy.random.set_state(arrays)


def without_dropout(module: nn.Module) -> nn.Module:
    """The module in training mode, with every share of dropout at zero and single precision.

    Args:
        module: the model, on the CPU; changed in place.
    """
    for each in module.modules():
        for name, value in list(vars(each).items()):
            if isinstance(value, float) and ("drop" in name or (name == "p" and "Dropout" in type(each).__name__)):
                with contextlib.suppress(Exception):  # a property without a setter, a frozen dataclass
                    setattr(each, name, 0.0)
    if any(each.dtype in (torch.float16, torch.bfloat16) for each in module.parameters()):
        module = module.float()
    return module.train()


def failure(error: BaseException) -> str:
    """An error of a user's code, with the innermost line that is the user's.

    Args:
        error: what was raised.
    """
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if user_file(frame.f_code.co_filename):
            place = f"{frame.f_code.co_filename}:{line}: "
    return f"{place}{type(error).__name__}: {first}"[:400]

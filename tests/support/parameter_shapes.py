"""Parameters as the rules see them, made by hand for tests."""

from __future__ import annotations

from hptransfer.parameterization.roles import Parameter, Role

#: base values in which every factor can be read off: learning rate 1, decay 1, init scale 1, eps 1
UNIT = {"learning_rate": 1.0, "weight_decay": 1.0, "init_scale": 1.0, "eps": 1.0}

_VECTORS = {Role.HIDDEN_VECTOR, Role.OUTER_VECTOR, Role.READOUT_BIAS}


def parameter(
    role: Role,
    *,
    fan_in: tuple[int, int] = (64, 64),
    fan_out: tuple[int, int] = (64, 64),
    name: str = "layer.weight",
    in_block: bool | None = None,
    writes_residual: bool = False,
) -> Parameter:
    """One parameter; fans are (base, target), vectors have fan-in 1, hidden roles lie in residual blocks."""
    vector = role in _VECTORS
    base_in, target_in = (1, 1) if vector else fan_in
    hidden = role in {Role.HIDDEN_WEIGHT, Role.HIDDEN_VECTOR}
    return Parameter(
        name=name,
        shape=(fan_out[1],) if vector else (fan_out[1], target_in),
        role=role,
        fan_in=target_in,
        fan_out=fan_out[1],
        base_fan_in=base_in,
        base_fan_out=fan_out[0],
        in_block=hidden if in_block is None else in_block,
        writes_residual=writes_residual,
        init="zeros" if vector else "normal",
        reason="made for a test",
        base_init_std=None if vector else 1.0,
    )


def growing(role: Role, base: int = 64, target: int = 256, *, writes_residual: bool = False) -> Parameter:
    """A parameter of this role with its width axes growing from base to target and the others fixed at 8."""
    fan_in = (8, 8) if role is Role.EMBEDDING else (base, target)
    fan_out = (8, 8) if role in {Role.READOUT, Role.READOUT_BIAS, Role.ROUTER} else (base, target)
    return parameter(role, fan_in=fan_in, fan_out=fan_out, name=f"{role.name}.p", writes_residual=writes_residual)

"""Models: plain PyTorch, and reading their parameters' shapes and roles."""

__all__ = ["api", "applied_plan", "audit", "base_shapes", "build", "cost", "layers", "shape_reading"]

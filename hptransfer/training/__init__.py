"""Training: data, the loop, and measurements of activations."""

__all__ = ["coordinates", "data", "linearisation", "loop", "losses", "noise_scale", "optimizers", "shard", "sharpness"]

"""Training one model with torch: batches, the loop with its optimizers and losses, and measurements on the way."""

__all__ = ["coordinates", "data", "linearisation", "loop", "losses", "noise_scale", "optimizers", "shard", "sharpness"]

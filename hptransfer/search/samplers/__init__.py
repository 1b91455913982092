"""Samplers, one module each: a recipe's `tune.sampler` is a module's name."""

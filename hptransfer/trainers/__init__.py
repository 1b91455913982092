"""Trainers: what turns a wanted trial into a loss."""

__all__ = ["tasks", "timing", "torch"]

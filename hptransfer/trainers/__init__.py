"""Trainers: what turns a wanted trial into a loss."""

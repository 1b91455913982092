"""Tests of hptransfer.recipe."""

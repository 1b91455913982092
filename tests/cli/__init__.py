"""Tests of hptransfer.cli."""

"""Tests of hptransfer.report."""

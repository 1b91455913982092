"""Diagnostics: what a check measures beside the verdict, one file each: measured, judged, shown."""

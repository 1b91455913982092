"""Transfer: trials of a ladder in, a verdict with its reasons and predictions out. Pure."""

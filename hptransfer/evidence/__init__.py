"""Evidence: trials in, verdicts out. Pure functions of numbers; nothing here trains, stores or prints."""

"""Export: configuration files for the large run."""

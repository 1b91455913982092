"""Models: plain PyTorch, and reading their parameters' shapes and roles."""

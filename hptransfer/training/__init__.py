"""Training: data, the loop, and measurements of activations."""

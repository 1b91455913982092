"""Gradient descent on a random-feature regression in NumPy; settings in a JSON file, losses in a CSV file."""

import json
import sys

import numpy as np

with open(sys.argv[1]) as file:
    config = json.load(file)
width, rate, steps = config["model"]["width"], config["optim"]["lr"], config["optim"]["steps"]
random = np.random.default_rng(config["seed"])
teacher = np.random.default_rng(0).normal(size=(8, 4))
features = random.normal(size=(8, width)) / 8**0.5
weights = np.zeros((width, 4))
x = np.random.default_rng(1).normal(size=(512, 8))
y = np.tanh(x @ teacher)
with open(sys.argv[2], "w") as out:
    print("step,train_loss,loss", file=out)
    for step in range(1, steps + 1):
        rows = random.integers(0, 512, 32)
        h = np.tanh(x[rows] @ features) / width**0.5
        error = h @ weights - y[rows]
        weights -= rate * h.T @ error / 32
        print(f"{step},{(error**2).mean():.8f},", file=out, flush=True)
    final = ((np.tanh(x @ features) / width**0.5 @ weights - y) ** 2).mean()
    print(f"{steps},,{final:.10f}", file=out)

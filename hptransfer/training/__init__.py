"""Training one model with torch: batches, the loop with its optimizers and losses, and measurements on the way.

loop           `train(module, groups, corpus, ...)`: one run, with a hook that sees every loss
batches        what a batch is: any structure of tensors
data           a recipe's data as batches by seed and step
optimizers     one file per optimizer
losses         one file per loss
shard          one process's share of each batch
coordinates    how far activations move in the first steps
watch          `hptransfer.watch`: the same in anybody's loop
sharpness      top eigenvalue of the Hessian in the optimizer's metric
noise_scale    squared gradient norms at two batch sizes
linearisation  distance of every block from linear training
"""

__all__ = [
    "batches",
    "checkpoint",
    "coordinates",
    "data",
    "device",
    "linearisation",
    "loop",
    "losses",
    "noise_scale",
    "optim",
    "optimizers",
    "shard",
    "sharpness",
    "step",
    "watch",
]

# mypy: ignore-errors
# ruff: noqa: N812, D101, D102, D103, C408 - as such scripts are written
"""A script in the manner of nanoGPT: flags by argparse, a tiny transformer in torch, losses printed as it goes."""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--n_embd", type=int, default=32)
parser.add_argument("--n_layer", type=int, default=1)
parser.add_argument("--learning_rate", type=float, default=1e-3)
parser.add_argument("--max_iters", type=int, default=100)
parser.add_argument("--batch_size", type=int, default=16)
parser.add_argument("--seed", type=int, default=1337)
args = parser.parse_args()
torch.manual_seed(args.seed)

block_size, vocab = 16, 64


def get_batch(generator):
    # sequences that count up by a step of their own
    start = torch.randint(0, vocab, (args.batch_size, 1), generator=generator)
    step = torch.randint(1, 4, (args.batch_size, 1), generator=generator)
    return (start + step * torch.arange(block_size + 1)) % vocab


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, args.n_embd), nn.Embedding(block_size, args.n_embd)
        layer = dict(dim_feedforward=4 * args.n_embd, dropout=0.0, batch_first=True, norm_first=True)
        self.h = nn.ModuleList(nn.TransformerEncoderLayer(args.n_embd, 2, **layer) for _ in range(args.n_layer))
        self.lm_head = nn.Linear(args.n_embd, vocab)

    def forward(self, idx):
        x = self.wte(idx) + self.wpe.weight
        mask = nn.Transformer.generate_square_subsequent_mask(block_size)
        for block in self.h:
            x = block(x, src_mask=mask, is_causal=True)
        return self.lm_head(x)


def loss_of(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
generator = torch.Generator().manual_seed(args.seed)
for iteration in range(args.max_iters):
    for group in optimizer.param_groups:
        group["lr"] = args.learning_rate * (0.5 + 0.5 * math.cos(math.pi * iteration / args.max_iters))
    loss = loss_of(model, get_batch(generator))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if iteration % 10 == 0:
        print(f"iter {iteration}: loss {loss.item():.4f}, lr {args.learning_rate}")
held_out = torch.Generator().manual_seed(0)
with torch.no_grad():
    val = sum(loss_of(model, get_batch(held_out)).item() for _ in range(8)) / 8
print(f"step {args.max_iters}: train loss {loss.item():.4f}, val loss {val:.6f}")

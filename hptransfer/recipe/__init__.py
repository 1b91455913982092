"""The recipe: what a user writes, typed, with every fault located (`file:line:column`)."""

"""Tables of finished runs: read, understood column by column, sliced, turned into trials."""

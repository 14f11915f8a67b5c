"""LSTMs among tensors: which names are theirs, how their gates lie, what the numbers say."""

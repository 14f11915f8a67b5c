"""Python source as evidence: what the code that makes an LSTM sets in it, without running it.

The syntax tree is walked over phantom values. `values`, `cells` and `tensors` are what the walk
computes with; `machine` is its state; `statements`, `expressions` and `calls` are the language;
`python_calls`, `torch_calls` and `modules` the libraries; `entries` says where a file is entered,
`imaginary` hands what was found to the rules that judge a checkpoint.
"""

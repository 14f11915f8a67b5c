"""Syntaxes without tensors: each module turns a span into records or plain values, and believes no
number in it.
"""

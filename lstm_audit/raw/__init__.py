"""Bytes and numbers, before any format: sources, spans, checksums, dtypes, tensors."""

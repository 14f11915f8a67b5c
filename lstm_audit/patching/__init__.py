"""Fixes into bytes: plan (values into changes), edits (changes and checksums), apply and undo;
crash-safe.
"""

"""Callbacks of training frameworks, each a thin layer over `lstm_audit.monitor`.

Comes in: the framework's own events. Goes out: calls of `Monitor`. Promise: a module here is
imported by name alone (`lstm_audit.integrations.lightning`), and needs nothing but its framework.
"""

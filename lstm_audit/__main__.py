"""`python -m lstm_audit`."""

from .cli import main

main()

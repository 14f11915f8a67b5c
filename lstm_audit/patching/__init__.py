"""Targets into bytes, crash-safe, and back.

choose    which LSTMs are meant             apply   one file written, in either of two ways
plan      biases into changes of bytes      undo    one file taken back
edits     changes and their checksums       whole   all files of a checkpoint, as one patch
checkpoint  all of that for a checkpoint    verify  what was written, read back

Beside a file may lie its `journal` (it is written in place), its `record` (what can be undone), and
a `marker` (several files are being written); `files`, `clone` say what may be written and how.
"""

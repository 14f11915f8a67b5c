"""Which initialiser made a bias, and has it moved since.

fingerprint.py   the decision, of one module's recurrences together
single.py        the same of a bias without halves

Fresh                                          Moved, moved.py
bias.py      the eight blocks                  trace.py      what training keeps of d = hh - ih
vouch.py     what proves freshness             trained.py    what d names by itself
lattice.py   the proof for draws               spread.py     laws that d has kept
fresh.py     a bias as it was drawn            one_gate.py   what one gate says by itself
shaped.py    chrono and its like               vetoes.py     names and numbers that do not hold
division.py  what our own patch divided        decay.py      the module's common decay
laws.py      distributions                     pool.py       small layers as one sample
schemes.py   the answers                       shifts.py     one half set, layers together
                                               forget_chrono.py  chrono in f alone, one half
                                               odds.py       likelihood ratios
                                               sample.py     sums of a sample, for the ratios
                                               optimizer.py  what the file's optimizer says
"""

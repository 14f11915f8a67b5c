"""Which initialiser made a bias, and has it moved since.

fingerprint.py   the decision, of one module's recurrences together
bias.py          the eight blocks              trace.py      what training keeps of d = hh - ih
vouch.py         what proves freshness         trained.py    a bias that has moved, by d
lattice.py       the proof for draws           spread.py     laws that d has kept
fresh.py         a bias as it was drawn        one_gate.py   what one gate says by itself
shaped.py        chrono and its like           vetoes.py     names and numbers that do not hold
division.py      what our own patch divided    pool.py       small layers as one sample
laws.py          distributions                 decay.py      the module's common decay
schemes.py       the answers                   odds.py       likelihood ratios
forget_chrono.py chrono in f alone, one half
shifts.py        one half set, layers together  sample.py   sums of a sample, for the ratios
"""

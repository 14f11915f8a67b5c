"""Which initialiser made a bias, and has it moved since.

fingerprint.py   the decision             fresh.py     a bias as it was drawn
bias.py          the eight blocks         trained.py   a bias that has moved, by d = hh - ih
lattice.py       the proof of freshness   trace.py     what training keeps of d
laws.py          distributions            schemes.py   the answers
"""

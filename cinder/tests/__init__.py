"""Tests without services: python -m unittest discover -t . -s tests

RESTBLK names the restblk program. The driver then works on a daemon and a
store of the tests' own, as root; without it those tests are skipped.
"""

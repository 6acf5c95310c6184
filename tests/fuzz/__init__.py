"""Hostile bodies for every parser of the service: a corpus, mutators, and an oracle that watches.

`python -m tests.fuzz` (`make fuzz`) sends them to the real service; docs/fuzzing.md explains it.
"""

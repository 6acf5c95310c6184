"""How each estimator is served for each kind of input, written to docs/estimators.md.

`python -m tests.estimators` makes the table; a test makes a part of it again.
"""

"""What a notebook calls: declare, prepare, train, judge, export and predict, in the stages' code.

`treeline` itself has the names; they are no other implementation of anything. `training` runs the
functions of the stages on a folder of its own, and `artifacts` predicts as `treeline score` does.
"""

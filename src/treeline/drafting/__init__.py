"""A table as people keep it → a draft of a model's block of `params.yaml`, with the reasons.

`sheets` finds how a file is written, `numerals` how its numbers are, `columns` what each column
holds, `choices` what a model may make of it, and `blocks` writes it down. All of it is pure: bytes
in, a draft out. What can be read in two ways is not decided here: a DataError names both readings
and the option of `treeline add` that decides.
"""

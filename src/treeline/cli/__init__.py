"""The command `treeline`: it parses what is typed, and `treeline.commands` does it."""

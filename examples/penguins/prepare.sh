#!/bin/sh
# The table that params.yaml reads, in a file of SQLite: a stand-in for the database of a team.
treeline penguins

#!/bin/sh
# The log that the model learns from, with seedlings that people have judged.
python -m examples.seedlings.season begin

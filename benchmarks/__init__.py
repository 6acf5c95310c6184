"""What the project measures of itself, by hand: `python -m benchmarks` lists it."""

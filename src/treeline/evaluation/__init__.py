"""Judgement of a champion: metrics with intervals, what lets a person decide, gate, comparison."""

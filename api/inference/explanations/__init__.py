"""A row and what a model says of it → what each feature added to the answer.

Contributions are Shapley values: `docs/explanations.md` says of which game. Linear models and trees
are read from their ONNX graph and explained exactly, all others by sampling.
"""

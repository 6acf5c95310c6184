"""The contract of a model: what a record holds, what is admitted, and how it becomes codes."""

"""A process that runs training jobs in containers: it reads a folder, and asks an engine.

It needs the base of the package alone, as the agent does.
"""

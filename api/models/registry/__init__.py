"""Models of an MLflow registry, served as they are named there, and by version on demand.

A process of its own, the follower, asks the registry and writes what passes its trial below the
state folder; the workers read that, and never import MLflow.
"""

"""Requests for a model that is ready → its answer, recorded and counted."""

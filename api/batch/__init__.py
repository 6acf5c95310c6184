"""Batches: a table in the body of one request, a table of its predictions in the answer."""

"""Formats of tables: reader and writer of each, and the rows between them."""

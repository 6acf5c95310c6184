"""A checkout and its environment → what is well, what is optional, what is wrong."""

"""The models that are served: the catalogue, its sources, and what is held against a new one."""

"""Classes of one's own: a template to begin with, and a look at what a class must keep."""

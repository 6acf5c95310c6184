"""A repository of models: the files it is made of, and how they are brought up to date."""

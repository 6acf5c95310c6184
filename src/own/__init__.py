"""Classes of your own that params.yaml names: `own.<module>.<class>`. docs/add-a-model.md says how.

DVC and the lineage follow every file in this folder for the models that name one of its classes,
and the serving image carries it.
"""

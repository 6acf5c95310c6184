"""From trained models in a checkout to a released commit: storage, git, comparison, report."""

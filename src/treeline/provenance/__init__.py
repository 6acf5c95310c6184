"""From an answer back to what is behind it: model, release, commit, data, code; read from git."""

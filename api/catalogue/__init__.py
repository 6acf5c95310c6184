"""The models that are served: by name and path, and swapped when they change."""

"""Models that are fetched from a bucket: `follower` is a process of its own, as of the registry.

It alone asks the store and imports its client; the workers read the folder that it fills.
"""

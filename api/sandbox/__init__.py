"""What touches a stranger's bytes natively runs apart: in processes without secrets, with limits.

`pool` is what a worker has of it, `child` what runs there, `wire` what they say to each other.
"""

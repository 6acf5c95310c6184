"""What touches a stranger's bytes natively runs apart: in processes without secrets, with limits.

`sandbox` is what a worker has of it, `pool` several of those, `child` what runs there, `wire` what
they say to each other.
"""

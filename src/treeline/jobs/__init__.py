"""Training jobs: what a service writes down of one, and what a runner makes of it.

The two share a folder and nothing else. The service never reaches what runs containers, and the
runner never listens to a network.
"""

"""Training jobs: received, listed, cancelled; what they have made is audited and served.

Nothing here runs a job, or reaches what does: a runner reads the folder that is written here.
"""

"""DVC's cache, and its remote where wanted → without what no branch, tag or release needs."""

from treeline.delivery import garbage


def collect_garbage(*, remote: bool, dry: bool) -> str:
    """Remove what nothing needs any more, or list it; return what DVC says of it."""
    return garbage.collect(remote=remote, dry=dry)

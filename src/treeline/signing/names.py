"""The name of an image as somebody writes it → the one form in which names are compared and signed.

A person and Docker leave out the registry where it is Docker Hub; a registry and Podman do not.
"""

DOCKER_HUB = "docker.io"
OTHER_NAMES = frozenset({"index.docker.io", "registry-1.docker.io"})
OFFICIAL = "library"  # the owner of what Docker Hub lists without one


def full_name(image: str) -> str:
    """Return the name of an image with its registry; a tag or a digest stays as it is.

    `owner/name` is an image of Docker Hub: the first part is a registry only where it is
    `localhost`, or has a dot or a port.
    """
    first, slash, rest = image.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, image
    if registry in OTHER_NAMES:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in path:
        path = f"{OFFICIAL}/{path}"
    return f"{registry}/{path}"

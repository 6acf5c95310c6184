"""What any route needs of HTTP: bodies, media types, problems, keys, limits; each of them once."""

"""A released commit → an image → a service that answers as its signatures say, or the old one."""

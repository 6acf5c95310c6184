"""What goes over the wire, and why a record is refused: all of it made from the signature."""

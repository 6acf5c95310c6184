"""What stages write as JSON for other stages and for people: the keys of each file, its reader."""

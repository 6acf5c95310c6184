"""Who may ask for what, and how much: keys, rates, and what is under way at once."""

"""Models without a signature: arrays in, arrays out, as their own graph declares them."""

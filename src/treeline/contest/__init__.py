"""A trained model and the one before → whether it may take its place, on rows new to both."""

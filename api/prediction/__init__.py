"""One record → its prediction: every microsecond counts here."""

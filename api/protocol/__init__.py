"""The Open Inference Protocol v2 over REST: tensors in, tensors out, for any model served."""

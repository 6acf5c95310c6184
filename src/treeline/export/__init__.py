"""Export: champion → ONNX graph or pickle, proved equal to it, with its signature."""

"""From an ONNX graph to a running engine on the machine at hand."""

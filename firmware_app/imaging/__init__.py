"""From bytes to the frames and tensors that a model may see."""

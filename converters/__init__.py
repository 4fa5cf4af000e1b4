"""From labelled films to a pack: data sets, splits, training, export, quantization, honest numbers."""

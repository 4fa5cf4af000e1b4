"""AUC, sensitivity and their 95 % intervals; calibration, decision curves, lesions."""

"""Ultrasound pictures and clips: sector, calibrated regions, keyframes, speckle."""

"""The stored values of one frame, whatever its transfer syntax."""

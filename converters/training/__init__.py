"""Train, distil, prune: every step that needs PyTorch's gradients."""

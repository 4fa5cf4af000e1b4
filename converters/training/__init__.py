"""The steps train, leave-out, distill and prune: everything that needs PyTorch's gradients."""

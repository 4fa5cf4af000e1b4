"""The steps train, leave-out, distill and prune: everything that needs PyTorch's gradients.

Many modules: each is one step, or one loss that a task names.
"""

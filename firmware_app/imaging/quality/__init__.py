"""What a frame's pixels say of how well it was taken (docs/decisions/quality.md): measures, limits, the verdict."""

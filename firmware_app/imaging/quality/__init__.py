"""How well a frame was taken, measured from its pixels (docs/decisions/quality.md): measures, limits, the verdict."""

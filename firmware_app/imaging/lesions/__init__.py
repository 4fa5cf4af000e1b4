"""A lesion's outline, sizes and description, computed from a mask and pixels; nothing here is learnt."""

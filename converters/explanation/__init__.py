"""Does the activation map show what decides? Compared with Grad-CAM, occlusion, LIME and outlines."""

"""Local networks of real processes, and the main job run on one from end to end."""

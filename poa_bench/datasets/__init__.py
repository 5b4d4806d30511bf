"""Data sets: the embedded digits, readers for images in folders and archives, and checks before training."""

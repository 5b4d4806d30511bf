"""Data sets: the embedded digits, and readers for images in folders and archives."""

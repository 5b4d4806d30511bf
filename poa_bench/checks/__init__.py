"""Data of a config, gone through as training and metric will see them, before a training starts."""

"""Results -> data frames -> tables, figures, one HTML page; picking a size, comparing checkpoints, model cards."""

"""How a supernet can learn: one file for each objective, which says its passes, targets and terms."""

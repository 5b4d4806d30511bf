"""How the supernet learns: the POA model, its losses, targets, heads, schedules and hooks (mmengine)."""

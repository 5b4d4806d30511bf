"""How a supernet learns: objectives, and what they share: crops, heads, losses, schedules, hooks (mmengine)."""

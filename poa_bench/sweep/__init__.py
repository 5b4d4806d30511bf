"""Which runs exist, where they run, and what they leave behind."""

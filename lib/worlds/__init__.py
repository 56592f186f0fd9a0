"""Procedurally made tool worlds, on which the small base model is pre-trained; they share no tool, API or query with the hub."""

"""Running networks to judge an editor."""

"""Building and measuring the avatar domain."""

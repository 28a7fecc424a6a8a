"""Golden cases of W++."""

"""Checks that are not part of the test suite: golden cases, fuzzing, a rehearsal at full size."""

"""The published way of computing the same numbers, for scripts/benchmark.py to compare with.

Written for this project from the descriptions of the original code, under the public key names, and held to the golden
outputs of the original networks by tests/scripts/test_published.py. What makes it slow is kept on purpose; each module
says what that is. Where the original has CUDA operators of its own, this is the fallback that it has beside them.
"""

"""What scripts/benchmark.py and scripts/benchmark_accuracy.py are made of."""

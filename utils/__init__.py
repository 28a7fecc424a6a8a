"""What everything else is built on: files, configs, weights, pictures, processes.

Imported before PyTorch, it decides how PyTorch's threads wait; so the packages above import it first.
"""

from utils.threads import wait_without_spinning

wait_without_spinning()

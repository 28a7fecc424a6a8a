"""How editors, and the networks of a domain, are trained: one method a module, which configs name."""

from training.method import Method
from utils.catalogues import Modules

METHODS: Modules[Method] = Modules("method", __name__, Method)

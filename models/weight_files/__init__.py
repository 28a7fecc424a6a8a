"""Weight files of this and other projects, recognised by content: `load_network` is the way in."""

from models.weight_files.loading import (
    LoadedNetwork,
    NetworkState,
    fill_network,
    kinds_in,
    load_network,
    network_in,
    read_network,
)

__all__ = ["LoadedNetwork", "NetworkState", "fill_network", "kinds_in", "load_network", "network_in", "read_network"]

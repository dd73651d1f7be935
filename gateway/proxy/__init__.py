"""The data plane: everything that touches scoring bytes. One process of it is a worker, with one event loop."""

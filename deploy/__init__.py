"""How Chronos is put to work: the edge's configuration, images, manifests."""

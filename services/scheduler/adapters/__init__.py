"""etcd, history and the dispatchers, as the ports want them."""

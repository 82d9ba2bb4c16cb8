"""etcd and files, as the ports want them."""

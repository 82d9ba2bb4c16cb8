"""What connects the gateway to the contract, to etcd and to the other services."""

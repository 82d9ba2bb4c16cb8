"""The edge: Envoy's configuration, made from the contract."""

"""Where secrets that jobs refer to are kept; one module for each source. See SecretSource."""

"""Domain from and to protobuf; the only mapping."""

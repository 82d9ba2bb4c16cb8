"""What a schedule, an occurrence and a shard mean. Pure: no I/O, no clock, no protobuf."""

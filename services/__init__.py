"""One package per service. They meet only in `proto/`; none imports another."""

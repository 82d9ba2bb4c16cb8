"""Jobs as a resource: create, look up, change; their versions, and which depend on which."""

"""The commands that people type: `chronos` runs a mesh, `chronosctl` talks to one."""

"""Targets of jobs, read into the plans by which they are delivered; one module for each protocol."""

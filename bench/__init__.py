"""Benchmarks that anyone can run: `make bench`. They measure and print; they judge nothing."""

"""What can be asked of runs: begin, make up for, repeat, stop, explain."""

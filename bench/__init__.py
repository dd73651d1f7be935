"""What a request costs, measured from outside: CPU microseconds of the process, as ratios to peers in the same run."""

"""What `benchmarks/bench` is made of."""

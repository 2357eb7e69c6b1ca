"""A whole cluster on this machine: its processes, the wires between them, what goes wrong, and who counts."""

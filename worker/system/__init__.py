"""What a worker asks of the operating system: threads, processes, locks, memory, scheduling."""

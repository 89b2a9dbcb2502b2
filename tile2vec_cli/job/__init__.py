"""What this job is and may use: signals, memory, processors, its rank among processes."""

"""What is told about the service while it runs: log lines, instruments, outcomes."""

"""Many runs: a sweep's file, its trials, and their comparison."""

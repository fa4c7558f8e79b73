"""What is measured, against what, and how: see docs/benchmarks.md."""

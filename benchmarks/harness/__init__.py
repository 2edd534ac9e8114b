"""Measuring tools that the benchmarks share: child processes, generated load, alternating rounds, summaries."""

"""Traces calls with OpenTelemetry: a span for each call, and one for each request that it sends."""

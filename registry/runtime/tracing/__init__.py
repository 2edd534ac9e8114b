"""Traces requests with OpenTelemetry: which requests, their spans at a server, and where the spans are sent."""

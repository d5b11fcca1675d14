"""Pure parsers of what services send: JSON, SSE, NDJSON, rate-limit headers, error envelopes."""

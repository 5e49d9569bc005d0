"""A bank, or a gateway in front of one, that speaks docs/bank-api.yaml over HTTPS."""

"""A bank that moves no money: `make run` sends live payouts to it, and tests of the provider `http_bank` break it.

The bank is a process with a durable store (docs/sandbox-bank.md). It knows the platform by the wire alone: it uses only
the standard library and has its own signature code, so that it does not repeat a mistake of the platform.

Reading order: `__main__` (the process), `server` (connections), `router` (requests to handlers), `service` (one
transfer), `scenarios` and `faults` (what a real bank might do), `lookups` (what it says of a transfer), `transfers`,
`audit` and `store` (what is kept), `scheduler` and `callbacks` (what happens without a request).
"""

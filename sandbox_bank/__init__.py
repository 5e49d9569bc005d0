"""A bank that moves no money: what live payouts of `make run` go to, and what tests of the provider `http_bank` break.

A process of its own with a durable book (docs/sandbox-bank.md). It knows the platform by the wire alone: standard
library only, and signatures of its own making, so that a mistake on one side is not repeated on the other.

In the order of reading: `command` (the process), `server` (connections), `desk` (which request is what), `teller`
(one transfer), `behaviour` and `faults` (what a real bank would do to us), `entries` and `book` (what is kept),
`ticker` and `callbacks` (what happens by itself).
"""

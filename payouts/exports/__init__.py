"""Files of payouts: from the request to the bytes, at once or in the background."""

"""The longest texts. Each limit stands here once: for the column, for what the API takes, and for what is cut off.

Lengths are in characters. A changed limit of a column needs a migration. Pure.
"""

from __future__ import annotations

from typing import Final

COMMENT_LENGTH_MAX: Final = 500
#: A sentence of a provider or an operator, and why something has happened.
MESSAGE_LENGTH_MAX: Final = 500
#: A provider's word for an outcome.
CODE_LENGTH_MAX: Final = 64
#: The merchant's own id of a payout, or the provider's.
REFERENCE_LENGTH_MAX: Final = 255
#: The provider's id of a callback.
EVENT_ID_LENGTH_MAX: Final = 255
#: Name of a provider.
PROVIDER_LENGTH_MAX: Final = 32
#: Identity of a bank (Provider.identity).
BANK_LENGTH_MAX: Final = 64
#: Such as `operator:<user name>`. Django allows user names of 150 characters.
ACTOR_LENGTH_MAX: Final = 200
#: Name of a process that sends heartbeats.
PROCESS_LENGTH_MAX: Final = 255
STATUS_LENGTH_MAX: Final = 24
MODE_LENGTH_MAX: Final = 4
CURRENCY_LENGTH: Final = 3

#: A recipient in one line. It is stored as JSON, as are its fields and the metadata.
RECIPIENT_TEXT_LENGTH_MAX: Final = 500
RECIPIENT_NAME_LENGTH_MAX: Final = 140
RECIPIENT_ACCOUNT_LENGTH_MAX: Final = 64
RECIPIENT_BANK_CODE_LENGTH_MAX: Final = 34
RECIPIENT_ADDRESS_LENGTH_MAX: Final = 255

#: How far ahead a payout may expire. What waits for longer is given up long before.
EXPIRES_DAYS_MAX: Final = 30

METADATA_PAIRS_MAX: Final = 50
METADATA_NAME_LENGTH_MAX: Final = 40
METADATA_VALUE_LENGTH_MAX: Final = 500

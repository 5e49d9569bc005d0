"""How many valid account numbers are refused as a card's, and how many cards are not.

    make bench-cards [ARGS="--results FILE"]

The numbers are made with valid check digits, the same ones at each run. The rule before is the one that took any 13 to
19 digits for a card's that pass the Luhn check, except for a whole IBAN.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from payouts.api.card_numbers import contains_card_number

NUMBERS = 100_000
SEED = 1
#: IBANs: country, and its number as letters and digits are placed in it.
IBANS = {
    "DE": "d" * 18, "FR": "d" * 10 + "c" * 11 + "d" * 2, "GB": "LLLL" + "d" * 14, "ES": "d" * 20,
    "IT": "L" + "d" * 10 + "c" * 12, "NL": "LLLL" + "d" * 10, "PL": "d" * 24, "CH": "d" * 5 + "c" * 12,
    "SE": "d" * 20, "BE": "d" * 12, "NO": "d" * 11, "PT": "d" * 21, "TR": "d" * 22, "SA": "d" * 2 + "c" * 18,
    "AE": "d" * 19, "LU": "d" * 3 + "c" * 13, "MT": "LLLL" + "d" * 5 + "c" * 18, "BR": "d" * 23 + "Lc",
}  # fmt: skip
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MEXICAN_BANKS = (
    "002",
    "012",
    "014",
    "021",
    "030",
    "036",
    "044",
    "058",
    "072",
    "106",
    "127",
    "137",
    "638",
    "646",
    "722",
)
ABA_FIRST = (*range(1, 13), *range(21, 33), *range(61, 73))


class Maker:
    """Account numbers by chance."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)

    def clabe(self) -> str:
        digits = self._random.choice(MEXICAN_BANKS) + self._digits(14)
        return digits + str(-sum(int(digit) * (3, 7, 1)[n % 3] for n, digit in enumerate(digits)) % 10)

    def clabe_in_groups(self) -> str:
        return _grouped(self.clabe(), 3, 3, 11, 1)

    def iban(self) -> str:
        country, form = self._random.choice(list(IBANS.items()))
        number = "".join(self._random.choice(_alphabet(place)) for place in form)
        return f"{country}{_iban_check(country, number):02}{number}"

    def iban_in_groups(self) -> str:
        return " ".join(re.findall(".{1,4}", self.iban()))

    def iban_in_a_text(self) -> str:
        return f"Jane Doe, IBAN {self.iban_in_groups()}, BIC BANKDEFF"

    def british(self) -> str:
        code, account = self._digits(6), self._digits(8)
        pairs = re.findall("..", code)
        return self._random.choice(
            [f"{'-'.join(pairs)} {account}", f"{' '.join(pairs)} {account}", f"{code} {account}", f"{code}/{account}"]
        )

    def american(self) -> str:
        routing = f"{self._random.choice(ABA_FIRST):02}{self._digits(6)}"
        check = -sum(int(digit) * (3, 7, 1)[n % 3] for n, digit in enumerate(routing)) % 10
        return f"{routing}{check} {self._digits(self._random.randint(6, 12))}"

    def indian(self) -> str:
        return self._digits(self._random.choice([9, 10, 11, 12, 13, 14, 15, 16]))

    def japanese(self) -> str:
        return f"{self._digits(4)}-{self._digits(3)}-{self._digits(7)}"

    def brazilian(self) -> str:
        account = self._digits(self._random.randint(5, 11))
        return f"{self._digits(3)} {self._digits(4)} {account}-{self._random.randrange(10)}"

    def nigerian(self) -> str:
        bank, serial = self._digits(3), self._digits(9)
        weighted = zip(bank + serial, "373373373373", strict=True)
        return serial + str(-sum(int(digit) * int(weight) for digit, weight in weighted) % 10)

    def australian(self) -> str:
        return f"{self._digits(3)}-{self._digits(3)} {self._digits(self._random.randint(6, 9))}"

    def new_zealand(self) -> str:
        return f"{self._digits(2)}-{self._digits(4)}-{self._digits(7)}-{self._digits(self._random.choice([2, 3]))}"

    def canadian(self) -> str:
        return f"{self._digits(5)}-{self._digits(3)}-{self._digits(self._random.randint(7, 11))}"

    def czech(self) -> str:
        return f"{self._modulo_11(6)}-{self._modulo_11(10)}/{self._digits(4)}"

    def polish(self) -> str:
        number = self._digits(24)
        return _grouped(f"{_iban_check('PL', number):02}{number}", 2, *[4] * 6)

    def serbian(self) -> str:
        number = self._digits(16)
        return _grouped(f"{number}{98 - int(f'{number}00') % 97:02}", 3, 13, 2, between="-")

    def danish(self) -> str:
        return f"{self._digits(4)} {self._digits(10)}"

    def korean(self) -> str:
        return f"{self._digits(3)}-{self._digits(3)}-{self._digits(6)}"

    def south_african(self) -> str:
        return f"{self._digits(6)} {self._digits(self._random.randint(9, 11))}"

    def _modulo_11(self, length: int) -> str:
        weights = (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)
        while True:
            digits = self._digits(length)
            if sum(int(digit) * weight for digit, weight in zip(reversed(digits), weights, strict=False)) % 11 == 0:
                return digits

    def _digits(self, count: int) -> str:
        return "".join(self._random.choices("0123456789", k=count))


KINDS: dict[str, Callable[[Maker], str]] = {
    "Mexico, CLABE": Maker.clabe,
    "Mexico, CLABE as 3-3-11-1": Maker.clabe_in_groups,
    f"IBAN of {len(IBANS)} countries": Maker.iban,
    "IBAN in groups of four": Maker.iban_in_groups,
    "IBAN in a longer text": Maker.iban_in_a_text,
    "United Kingdom, sort code and account": Maker.british,
    "United States, routing number and account": Maker.american,
    "India, account of 9 to 16 digits": Maker.indian,
    "Japan, bank, branch and account": Maker.japanese,
    "Brazil, bank, branch and account": Maker.brazilian,
    "Nigeria, NUBAN": Maker.nigerian,
    "Australia, BSB and account": Maker.australian,
    "New Zealand": Maker.new_zealand,
    "Canada, transit, institution and account": Maker.canadian,
    "Czechia, prefix, account and bank": Maker.czech,
    "Poland, without its country": Maker.polish,
    "Serbia": Maker.serbian,
    "Denmark": Maker.danish,
    "Korea": Maker.korean,
    "South Africa, branch and account": Maker.south_african,
}


def took_for_a_card_before(text: str) -> bool:
    """The rule before payouts/api/account_numbers.py."""
    compact = text.replace(" ", "").upper()
    if re.fullmatch("[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}", compact) and _modulo_97(compact[4:] + compact[:4]) == 1:
        return False
    found = re.findall(r"(?<![0-9A-Za-z])[0-9]+(?:[ \u00a0-][0-9]+)*(?![0-9A-Za-z])", text)
    for groups in (re.split("[ \u00a0-]", run) for run in found):
        runs = ("".join(groups[first:last]) for first, last in combinations(range(len(groups) + 1), 2))
        if any(13 <= len(digits) <= 19 and _luhn(digits) for digits in runs):
            return True
    return False


def _luhn(digits: str) -> bool:
    return sum(sum(divmod(int(d) * (1 + n % 2), 10)) for n, d in enumerate(reversed(digits))) % 10 == 0


def _modulo_97(text: str) -> int:
    return int("".join(str(int(character, 36)) for character in text)) % 97


def _iban_check(country: str, number: str) -> int:
    return 98 - _modulo_97(f"{number}{country}00")


def _alphabet(place: str) -> str:
    return {"d": "0123456789", "L": LETTERS, "c": f"0123456789{LETTERS}"}[place]


def _grouped(digits: str, *lengths: int, between: str = " ") -> str:
    parts, start = [], 0
    for length in lengths:
        parts.append(digits[start : start + length])
        start += length
    return between.join(parts)


def measured() -> str:
    """Return the figures as a page."""
    maker, count = Maker(), NUMBERS // len(KINDS)
    lines, totals, seconds = [], [0, 0], 0.0
    for name, make in KINDS.items():
        made = [make(maker) for _ in range(count)]
        before = sum(map(took_for_a_card_before, made))
        started = time.perf_counter()
        after = sum(map(contains_card_number, made))
        seconds += time.perf_counter() - started
        totals = [totals[0] + before, totals[1] + after]
        lines.append(f"| {name} | `{made[0]}` | {count:,} | {before:,} | {after:,} |\n")
    total = count * len(KINDS)
    head = f"""\
# Account numbers that are taken for a card's

`make bench-cards`: {total:,} account numbers with valid check digits, made with seed {SEED};
{seconds / total * 1e6:.0f} us each on the machine that ran it.

tests/unit/payouts/api/test_card_numbers.py looks for the brands' own test numbers: none is missed.

| what | for example | numbers | refused before | refused |
|---|---|---|---|---|
"""
    return f"{head}{''.join(lines)}| **all** | | {total:,} | {totals[0]:,} | {totals[1]:,} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.card_numbers", description=__doc__)
    parser.add_argument("--results", type=Path, help="where to write the figures besides")
    results: Path | None = parser.parse_args().results
    page = measured()
    print(page)
    if results is not None:
        results.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

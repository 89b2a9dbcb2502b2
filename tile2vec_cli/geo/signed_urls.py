"""Addresses that are signed for a time: read with their signature, called without it everywhere else.

Like credentials, signatures belong to the process: they are looked up where a server is asked, and never
stand in a path. So they are in no output, log or error, and a scene signed anew is the same scene.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ADDRESS = re.compile(r"https?://[^\s'\"<>]+")
_KEYS = {"signature", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy", "sig"}
_KEYS |= {"token", "access_token", "api_key", "apikey", "subscription-key", "x-api-key"}
_PREFIXES = ("x-amz-", "x-goog-")
# What stands beside them and means nothing without: short names may be others' data.
_AZURE = "sv ss srt sr sp st se spr sip si skoid sktid skt ske sks skv saoid suoid scid sdd"
_BESIDE = {"sig": frozenset(_AZURE.split(" ")), "signature": frozenset({"expires"})}
_signed: dict[str, str] = {}  # addresses of this process, by what they are without their signature


def unsigned(address: str) -> str:
    """The address without its signature; whatever is no address stays as it is."""
    head, mark, query = address.partition("?")
    if not mark or "://" not in head:
        return address
    query, hash_, fragment = query.partition("#")
    pairs = [(pair.partition("=")[0].lower(), pair) for pair in query.split("&")]
    names = {name for name, _ in pairs if name in _KEYS or name.startswith(_PREFIXES)}
    if not names:
        return address
    names |= {name for key, beside in _BESIDE.items() if key in names for name in beside}
    left = "&".join(pair for name, pair in pairs if name not in names)
    return head + mark * bool(left) + left + hash_ + fragment


def admit(address: str) -> str:
    """The address without its signature, which is kept for when it is asked for."""
    bare = unsigned(address)
    if bare != address:
        _signed[bare] = address
    return bare


def signed(address: str) -> str:
    """The address with the signature that is known for it, if any."""
    return _signed.get(address, address)


def known(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of the addresses for which a signature is known, with it: for a process that knows none."""
    return tuple(_signed[address] for address in addresses if address in _signed)


def scrubbed(text: str) -> str:
    """Somebody else's words with all addresses in them unsigned."""
    return _ADDRESS.sub(lambda match: unsigned(match[0]), text) if "?" in text else text

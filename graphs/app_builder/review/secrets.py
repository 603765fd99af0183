"""Secrets in source, in any language.

Place in the path: inside a review. It tells where one is and never what it is: reviews are kept in
caches and shown on screens.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator

from graphs.app_builder.review.findings import Finding, Severity

KINDS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}\b"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "a password in a URL": re.compile(
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'${}]{1,80}:[^\s@/\"'${}]{3,80}@"
    ),
    "a secret": re.compile(
        r"\b(?:\w{0,40}(?:password|passwd|secret|api_?key|apikey|access_?token|auth_?token))"
        r"[\"']?\s{0,5}[:=]\s{0,5}[\"'`](?P<value>[^\"'`\s]{8,200})[\"'`]",
        re.IGNORECASE,
    ),
}
HARMLESS = re.compile(
    r"(?i)example|changeme|placeholder|your[-_]|xxx|\*\*\*|\$\{|<|process\.env|import\.meta|\.{3}"
)
"""In the value, shows that it is a place for a secret."""


def secrets(path: str, text: str) -> Iterator[Finding]:
    """One finding for each line that holds what looks like a secret."""
    ends = [match.start() for match in re.finditer("\n", text)]
    told: set[int] = set()
    for kind, pattern in KINDS.items():
        for match in pattern.finditer(text):
            row = bisect_left(ends, match.start())
            if row in told or HARMLESS.search(match.groupdict().get("value") or ""):
                continue
            told.add(row)
            column = match.start() - (ends[row - 1] + 1 if row else 0) + 1
            message = f"{kind} in the source: read it from the environment, and replace it"
            yield Finding("secret-in-source", Severity.CRITICAL, path, row + 1, column, message)

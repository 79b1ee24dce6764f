"""Assertions of a real Chromium and of the crate `passkey`, wrapped here from docs/spec/2-signatures.md alone and judged by the auditor
and by stock ssh-keygen."""

import base64
import struct
import unittest
from pathlib import Path

import audit

ASSERTIONS = Path(__file__).parent.parent / "crates/trust/tests/sshsig/assertions"
TEXT = b'{\n  "why": "restart the tills"\n}\n'
NAMESPACE = b"job.v1@countersign"


def string(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def cases(name: str) -> dict[str, dict]:
    """`name value` lines in blocks; bytes are base64url without padding."""
    read = {}
    for block in (ASSERTIONS / name).read_text().split("\n\n"):
        given = dict(line.split(" ", 1) for line in block.strip().splitlines())
        if "case" in given:
            texts = {"case": given.pop("case"), "rp_id": given.pop("rp_id")}
            read[texts["case"]] = texts | {key: base64.urlsafe_b64decode(value + "==") for key, value in given.items()}
    return read


def wrapped(given: dict) -> tuple[audit.SshKey, audit.Signature]:
    """Steps 1 to 5 of the specification, without their refusals."""
    data, client, der = given["authenticator_data"], given["client_data"], given["signature"]
    origin = client.split(b'"origin":"')[1].split(b'"')[0]
    r_end = 4 + der[3]
    r, s = der[4:r_end], der[r_end + 2 :]
    inner = string(audit.WEBAUTHN.encode(), string(r, s)) + data[32:37] + string(origin, client, data[37:])
    blob = string(audit.SK_ECDSA.encode(), b"nistp256", given["point"], given["rp_id"].encode())
    sshsig = b"SSHSIG" + struct.pack(">I", 1) + string(blob, NAMESPACE, b"", b"sha512", inner)
    return audit.SshKey.from_blob(audit.WEBAUTHN, blob), audit.Signature.read(sshsig)


class ForeignPasskeys(unittest.TestCase):
    def check(self, given: dict, passkeys: audit.Passkeys) -> tuple[bool, bool]:
        """Whether it counts here, and whether ssh-keygen takes it."""
        key, signature = wrapped(given)
        taken = audit.SSH_KEYGEN.verifies([key], key, signature, TEXT)
        try:
            return taken and audit.properties_of(key, signature, TEXT, passkeys) == {"presence", "verification"}, taken
        except audit.Refused:
            return False, taken

    def check_all(self, name: str, passkeys: audit.Passkeys, good: set[str], refused_by_both: set[str]):
        for case, given in cases(name).items():
            expected = (True, True) if case in good else (False, case not in refused_by_both)
            with self.subTest(case):
                self.assertEqual(self.check(given, passkeys), expected)
        self.assertLessEqual(good | refused_by_both, cases(name).keys())

    def test_chromium(self):
        good = {"as Chromium does it", "with the member that Chromium adds", "with an extension"}
        self.check_all("chromium.txt", audit.Passkeys("localhost", ("http://localhost:41234",)), good, set())

    def test_the_passkey_crate(self):
        good = {
            "as the client does it", "with a further member", "with a topOrigin", "with a short first number",
            "with a short second number", "by a credential with a counter and an extension",
        }
        refused_by_both = {
            "of another challenge", "with its members in another order", "with crossOrigin before the origin",
        }
        self.check_all("passkey.txt", audit.Passkeys("approve.example", ("https://approve.example",)), good, refused_by_both)


if __name__ == "__main__":
    unittest.main()

"""Tests of audit.py with its own constants and keys: `python3 -m unittest discover audit`."""

import base64
import hashlib
import json
import struct
import subprocess
import tempfile
import unittest
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import audit
from audit import Refused

HALT = {
    "org": "org-" + "a" * 64,
    "id": "id-" + "0" * 32,
    "policy": "b" * 64,
    "scope": {"person": "anna"},
    "made": 1700000000,
    "reason": "a laptop was stolen\nin the train",
    "advisory": "",
}


def text_of(value) -> bytes:
    """Another printer than the one under test: json.dumps writes the same form for what is in order."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def bent(**changes) -> bytes:
    return text_of({**HALT, **changes})


class CanonicalText(unittest.TestCase):
    def test_a_good_halt_is_read(self):
        self.assertEqual(audit.read_text("halt", text_of(HALT)), HALT)

    def test_each_departure_is_refused(self):
        good = text_of(HALT).decode()
        cases = {
            "no final line feed": good[:-1],
            "two final line feeds": good + "\n",
            "another indent": good.replace('  "org"', '   "org"'),
            "a space before the colon": good.replace('"org":', '"org" :'),
            "a tab as indent": good.replace('  "org"', '\t"org"'),
            "a carriage return": good.replace("\n", "\r\n"),
            "a number with an exponent": good.replace("1700000000", "17e8"),
            "a number with a point": good.replace("1700000000", "1700000000.0"),
            "a leading zero": good.replace("1700000000", "01700000000"),
            "a sign": good.replace("1700000000", "-1700000000"),
            "minus zero": good.replace("1700000000", "-0"),
            "a number above 2^53 - 1": good.replace("1700000000", str(2**53)),
            "null": good.replace('"advisory": ""', '"advisory": null'),
            "true for a number": good.replace("1700000000", "true"),
            "an escaped letter": good.replace("anna", "\\u0061nna"),
            "an escaped slash": good.replace("stolen", "sto\\/len"),
            "a repeated key": good.replace('  "made"', '  "made": 1700000000,\n  "made"'),
            "a byte order mark": "\ufeff" + good,
            "two alternatives": good.replace('"person": "anna"', '"person": "anna",\n    "organization": {}'),
            "an unknown alternative": good.replace('"person"', '"people"'),
        }
        for what, text in cases.items():
            with self.subTest(what), self.assertRaises(Refused):
                audit.read_text("halt", text.encode())

    def test_missing_unknown_and_reordered_fields_are_refused(self):
        missing = {key: value for key, value in HALT.items() if key != "advisory"}
        reordered = {key: HALT[key] for key in sorted(HALT)}
        for value in (missing, {**HALT, "more": 0}, reordered):
            with self.assertRaises(Refused):
                audit.read_text("halt", text_of(value))

    def test_free_text_is_by_the_table(self):
        for character in "~¡ÿĀʁ–“”•…€→∀─。あア漢가":
            audit.read_text("halt", bent(reason=character))
        for character in "\x00\x1b\x7f\x80\xa0\xad\u0301\u061c\u0627\u05d0\u200b\u200f\u202e\u2066\u2028\ufeff\ufffd\U0001f600":
            with self.subTest(hex(ord(character))), self.assertRaises(Refused):
                audit.read_text("halt", bent(reason=character))

    def test_a_line_feed_stands_in_prose_only_and_a_tab_in_lines_only(self):
        audit.read_text("halt", bent(advisory="a\tb"))
        for change in ({"advisory": "a\nb"}, {"reason": "a\tb"}):
            with self.assertRaises(Refused):
                audit.read_text("halt", bent(**change))

    def test_sizes_are_of_bytes(self):
        audit.read_text("halt", bent(advisory="é" * 200))
        for change in ({"advisory": "é" * 201}, {"reason": "x" * 2001}):
            with self.assertRaises(Refused):
                audit.read_text("halt", bent(**change))
        with self.assertRaises(Refused):
            audit.read_text("halt", text_of(HALT) + b" " * 2048)

    def test_bytes_that_are_not_utf8_and_deep_nests_are_refused(self):
        for text in (b"\xff\xfe", b"[" * 65000, text_of(HALT).replace(b"anna", b"\xc3\x28")):
            with self.assertRaises(Refused):
                audit.read_text("halt" if len(text) < 2048 else "job", text)

    def test_names_have_no_space_at_an_end_and_no_quote(self):
        audit.read_text("halt", bent(scope={"person": "anna b"}))
        for name in (" anna", "anna ", "", "a" * 65, 'a"b', "a\\b", "ä"):
            with self.subTest(name), self.assertRaises(Refused):
                audit.read_text("halt", bent(scope={"person": name}))

    def test_sets_ascend_and_repeat_nothing(self):
        printer = audit.set_of(audit.NAME)
        self.assertEqual(printer(["B", "a"], 0), '[\n  "B",\n  "a"\n]')
        self.assertEqual(printer([], 0), "[]")
        for value in (["a", "B"], ["a", "a"]):
            with self.assertRaises(Refused):
                printer(value, 0)

    def test_no_key_of_a_map_and_no_member_of_a_set_is_empty(self):
        self.assertEqual(audit.list_of(audit.ADDRESS)([""], 0), '[\n  ""\n]')
        for printer, value in ((audit.set_of(audit.ADDRESS), [""]), (audit.map_of(audit.LINE, audit.ADDRESS), {"": ""})):
            with self.assertRaises(Refused):
                printer(value, 0)

    def test_paths_are_absolute_and_without_dots(self):
        audit.PATH("/usr/bin/env", 0)
        for path in ("usr/bin", "/usr/../bin", "/usr/./bin", "", "/" + "a" * 255, "/ü"):
            with self.subTest(path), self.assertRaises(Refused):
                audit.PATH(path, 0)


# RFC 6962's own reference tree: the leaves of certificate-transparency's MerkleTreeTest and its roots.
LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def path_to(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return path_to(index, leaves[:split]) + [audit.tree_root(leaves[split:])]
    return path_to(index - split, leaves[split:]) + [audit.tree_root(leaves[:split])]


class Trees(unittest.TestCase):
    def test_roots_are_those_of_the_reference_tree(self):
        self.assertEqual(audit.tree_root([]), hashlib.sha256(b"").digest())
        for size, root in ROOTS.items():
            self.assertEqual(audit.tree_root(LEAVES[:size]).hex(), root)

    def test_every_leaf_of_every_tree_has_its_path_and_no_other(self):
        for size in range(1, 9):
            root = audit.tree_root(LEAVES[:size])
            for index in range(size):
                path, leaf = path_to(index, LEAVES[:size]), audit.leaf_hash(LEAVES[index])
                self.assertEqual(audit.root_by_path(leaf, index, size, path), root)
                with self.assertRaises(Refused):
                    audit.root_by_path(leaf, index, size, path + [root])
                if path:
                    with self.assertRaises(Refused):
                        audit.root_by_path(leaf, index, size, path[:-1])
        with self.assertRaises(Refused):
            audit.root_by_path(b"", 3, 3, [])


@lru_cache(maxsize=None)
def fresh_key(_number: int) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


class MachineKey:
    """An Ed25519 key that signs notes: a fresh one for each number, the same for as long as the tests run."""

    def __init__(self, number: int, name: str, kind: int = 1):
        self.private = fresh_key(number)
        self.raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.name = name or "dev-" + hashlib.sha256(self.raw).hexdigest()
        self.kind = bytes([kind])
        self.ident = hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.raw).digest()[:4]

    def vkey(self) -> str:
        return f"{self.name}+{self.ident.hex()}+{base64.b64encode(self.kind + self.raw).decode()}"

    def line(self, text: bytes, time: int = 0) -> bytes:
        material = self.private.sign(text)
        if self.kind == b"\x04":
            material = struct.pack(">Q", time) + self.private.sign(b"cosignature/v1\ntime %d\n" % time + text)
        return f"\u2014 {self.name} {base64.b64encode(self.ident + material).decode()}\n".encode()


class Notes(unittest.TestCase):
    def test_the_example_of_signed_note_verifies(self):
        note = audit.Note.read(
            "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ER"
            "YNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n".encode()
        )
        key = audit.NoteKey.read("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
        self.assertTrue(note.is_signed_by(key))

    def test_no_line_can_deny(self):
        key, text = MachineKey(1, "a.example"), b"text\n\nmore\n"
        forged = f"\u2014 a.example {base64.b64encode(key.ident + bytes(64)).decode()}\n".encode()
        stranger = MachineKey(9, "b.example").line(b"something other")
        note = audit.Note.read(text + b"\n" + forged + stranger + key.line(text))
        self.assertTrue(note.is_signed_by(audit.NoteKey.read(key.vkey())))
        self.assertEqual(note.text, text)

    def test_a_line_that_is_none_makes_it_no_note(self):
        line = MachineKey(1, "a.example").line(b"t\n")
        audit.Note.read(b"t\n\n" + line)
        for data in (b"t\n\n", b"t\n" + line, b"t\n\nnonsense\n" + line, b"t\n\n" + line[:-1], b"t\x07\n\n" + line,
                     b"t\n\n" + "\u2014 a !!\n".encode() + line, b"t\n\n" + "\u2014 a+b AAAAAAA=\n".encode() + line,
                     b"t\n\n" + "\u2014 a\u00a0b AAAAAAA=\n".encode() + line, b"t" * 65_536 + b"\n\n" + line):
            with self.subTest(data), self.assertRaises(Refused):
                audit.Note.read(data)

    def test_65_lines_are_too_many(self):
        key = MachineKey(1, "a.example")
        audit.Note.read(b"t\n\n" + key.line(b"t\n") * 64)
        with self.assertRaises(Refused):
            audit.Note.read(b"t\n\n" + key.line(b"t\n") * 65)

    def test_of_cosignatures_the_earliest_that_verifies_counts(self):
        key, text = MachineKey(2, "w.example", 4), b"log.example\n1\n\n"
        early = base64.b64encode(key.ident + struct.pack(">Q", 5) + bytes(64)).decode()
        lines = key.line(text, 30) + key.line(text, 20) + f"\u2014 w.example {early}\n".encode()
        note = audit.Note.read(text + b"\n" + lines)
        self.assertEqual(note.cosigned_at(audit.NoteKey.read(key.vkey())), 20)
        self.assertIsNone(note.cosigned_at(audit.NoteKey.read(MachineKey(3, "w.example", 4).vkey())))

    def test_a_note_signature_is_no_cosignature_and_the_reverse(self):
        text = b"t\n"
        for kind in (1, 4):
            key = audit.NoteKey.read(MachineKey(1, "a", kind).vkey())
            note = audit.Note.read(text + b"\n" + MachineKey(1, "a", kind).line(text, 9))
            self.assertEqual((note.is_signed_by(key), note.cosigned_at(key)), (kind == 1, None if kind == 1 else 9))

    def test_note_keys_have_one_spelling(self):
        good = MachineKey(1, "a.example").vkey()
        audit.NoteKey.read(good)
        for text in (good.replace("+", " ", 1), good[:-1], good.replace("a.", "b.", 1), good + "=", good.replace("a.ex", "a ex")):
            with self.subTest(text), self.assertRaises(Refused):
                audit.NoteKey.read(text)


class Points(unittest.TestCase):
    def test_points_of_small_order_and_other_spellings_are_refused(self):
        p = 2**255 - 19
        small = [0, 1, p - 1, 2**255, p, p + 1]
        eighth = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
        for raw in [each.to_bytes(32, "little") for each in small] + [bytes.fromhex(eighth)]:
            self.assertFalse(audit.is_good_ed25519_point(raw), raw.hex())
        for number in range(20):
            self.assertTrue(audit.is_good_ed25519_point(MachineKey(number, "a").raw))
        nowhere = bytes([2]) + bytes(31)  # no point has this y: it may stand there, and nothing verifies by it
        self.assertTrue(audit.is_good_ed25519_point(nowhere))
        self.assertFalse(audit.ed25519_verifies(nowhere, bytes(64), b""))


PASSKEY_HOST, PASSKEY_ORIGIN = "approve.example", "https://approve.example"


def wire(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


class Sshsig(unittest.TestCase):
    """With real keys of ssh-keygen, and a passkey made by hand."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.keys = {}
        for algorithm, kind, bits in (("ssh-ed25519", "ed25519", "256"), ("ecdsa-sha2-nistp256", "ecdsa", "256"), ("ssh-rsa", "rsa", "3072")):
            path = Path(cls.folder.name, kind)
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", path], check=True)
            cls.keys[algorithm] = (path, " ".join(Path(f"{path}.pub").read_text().split()[:2]))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def sign(self, algorithm: str, text: bytes, namespace: str = "halt.v1@countersign", hash_name: str = "sha512") -> audit.Signature:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-O", f"hashalg={hash_name}", "-f", self.keys[algorithm][0]]
        armored = subprocess.run(command, input=text, capture_output=True, check=True).stdout
        return audit.Signature.read(audit.unarmored(armored))

    def shown(self, line: str, signature: audit.Signature, text: bytes):
        key, passkeys = audit.SshKey.read(line), audit.Passkeys(PASSKEY_HOST, (PASSKEY_ORIGIN,))
        if signature.key_blob != key.blob:
            return None
        try:
            shown = audit.properties_of(key, signature, text, passkeys)
        except Refused:
            return None
        return shown if audit.SSH_KEYGEN.verifies([key], key, signature, text) else None

    def test_signatures_of_ssh_keygen_verify_and_read_back(self):
        for algorithm, (_, line) in self.keys.items():
            signature = self.sign(algorithm, b"text\n")
            self.assertEqual(self.shown(line, signature, b"text\n"), set(), algorithm)
            self.assertIsNone(self.shown(line, signature, b"other\n"), algorithm)
            self.assertEqual(audit.unarmored(signature.armored()), signature.blob)

    def test_a_signature_that_is_not_well_formed_makes_the_envelope_unreadable(self):
        with self.assertRaises(Refused):
            self.sign("ssh-ed25519", b"text\n", hash_name="sha256")
        with self.assertRaises(Refused):
            self.sign("ssh-ed25519", b"text\n", namespace="file")
        good = self.sign("ssh-ed25519", b"text\n").blob
        for blob in (good + b"\0", good[:-1], b"SSHSIH" + good[6:], good[:9] + b"\2" + good[10:], good.replace(b"sha512", b"sha511"), b""):
            with self.subTest(blob), self.assertRaises(Refused):
                audit.Signature.read(blob)
        head, known = good[: good.index(b"sha512") + 6], wire(b"ssh-ed25519", bytes(64))
        for field in (b"", b"no signature", wire(b"ssh-dss", bytes(40)), known + b"\0"):
            with self.subTest(field), self.assertRaises(Refused):
                audit.Signature.read(head + wire(field))
        audit.Signature.read(head + wire(known))

    def test_numbers_have_one_spelling(self):
        """OpenSSH takes more: longer numbers, and of an Ed25519 signature any that is the same modulo the order."""
        for algorithm, bend in (("ecdsa-sha2-nistp256", self.longer), ("ssh-ed25519", self.above_the_order)):
            line, good = self.keys[algorithm][1], self.sign(algorithm, b"text\n")
            at = good.blob.index(b"sha512") + 6
            bent = audit.Signature.read(good.blob[:at] + wire(wire(algorithm.encode(), bend(good.numbers))))
            self.assertIsNone(self.shown(line, bent, b"text\n"), algorithm)

    @staticmethod
    def longer(numbers: bytes) -> bytes:
        pair = audit.Wire(numbers)
        return wire(bytes(1) + pair.string(), pair.string())

    @staticmethod
    def above_the_order(numbers: bytes) -> bytes:
        return numbers[:32] + (int.from_bytes(numbers[32:], "little") + audit.ED25519_ORDER).to_bytes(32, "little")

    def test_the_armor_has_lines_of_70(self):
        signature = self.sign("ssh-ed25519", b"text\n")
        lines = signature.armored().split(b"\n")
        with self.assertRaises(Refused):
            audit.unarmored(b"\n".join([lines[0], lines[1] + lines[2], *lines[3:]]))

    def test_weak_keys_are_no_keys(self):
        path = Path(self.folder.name, "weak")
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", path], check=True)
        ed25519_blob = self.keys["ssh-ed25519"][1].split()[1]
        zero = base64.b64encode(wire(b"ssh-ed25519", bytes(32))).decode()
        lines = [" ".join(Path(f"{path}.pub").read_text().split()[:2]), f"ssh-ed25519 {zero}", f"ssh-rsa {ed25519_blob}"]
        for line in [*lines, f"ecdsa-sha2-nistp384 {ed25519_blob}", self.keys["ssh-ed25519"][1] + " comment"]:
            with self.subTest(line), self.assertRaises(Refused):
                audit.SshKey.read(line)

    def test_an_application_is_one_word(self):
        raw = MachineKey(1, "").raw
        for application, good in ((b"ssh:", True), (b"", False), (b"a b", False), (b"a" * 256, False)):
            blob = base64.b64encode(wire(audit.SK_ED25519.encode(), raw, application)).decode()
            if good:
                audit.SshKey.read(f"{audit.SK_ED25519} {blob}")
                continue
            with self.subTest(application), self.assertRaises(Refused):
                audit.SshKey.read(f"{audit.SK_ED25519} {blob}")

    def passkey(self, algorithm: str, flags: int, text: bytes, origin: str = PASSKEY_ORIGIN, tail: str = "}", extensions: bytes = b""):
        """A key of a security chip and its signature under `text`, as PROTOCOL.u2f describes them."""
        private = ec.derive_private_key(7**40, ec.SECP256R1())
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        application = PASSKEY_HOST.encode()
        blob = wire(audit.SK_ECDSA.encode(), b"nistp256", point, application)
        namespace = b"halt.v1@countersign"
        signed = b"SSHSIG" + wire(namespace, b"", b"sha512", hashlib.sha512(text).digest())
        asked = base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
        client = f'{{"type":"webauthn.get","challenge":"{asked}","origin":"{origin}","crossOrigin":false{tail}'.encode()
        message = client if algorithm == audit.WEBAUTHN else signed
        head = hashlib.sha256(application).digest() + struct.pack(">BI", flags, 9)
        der = private.sign(head + extensions + hashlib.sha256(message).digest(), ec.ECDSA(hashes.SHA256()))
        pair = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in utils.decode_dss_signature(der)]
        inner = wire(algorithm.encode(), wire(*pair)) + struct.pack(">BI", flags, 9)
        if algorithm == audit.WEBAUTHN:
            inner += wire(origin.encode(), client, extensions)
        envelope = b"SSHSIG" + struct.pack(">I", 1) + wire(blob, namespace, b"", b"sha512", inner)
        line = f"{algorithm} {base64.b64encode(blob).decode()}"
        return self.shown(line, audit.Signature.read(envelope), text)

    def test_a_touched_security_key_shows_presence_and_an_untouched_one_counts_for_nothing(self):
        self.assertEqual(self.passkey(audit.SK_ECDSA, 0x01, b"t"), {"presence"})
        self.assertEqual(self.passkey(audit.SK_ECDSA, 0x05, b"t"), {"presence", "verification"})
        self.assertIsNone(self.passkey(audit.SK_ECDSA, 0x00, b"t"))
        for flags in (0x41, 0x81):
            self.assertIsNone(self.passkey(audit.SK_ECDSA, flags, b"t"))

    def test_a_passkey_counts_only_as_the_page_demands(self):
        both = {"presence", "verification"}
        self.assertEqual(self.passkey(audit.WEBAUTHN, 0x05, b"t"), both)
        self.assertEqual(self.passkey(audit.WEBAUTHN, 0x05, b"t", tail=',"more":1}'), both)
        self.assertEqual(self.passkey(audit.WEBAUTHN, 0x85, b"t", extensions=b"\xa0"), both)
        for what, shown in {
            "no verification": self.passkey(audit.WEBAUTHN, 0x01, b"t"),
            "no presence": self.passkey(audit.WEBAUTHN, 0x04, b"t"),
            "attested data": self.passkey(audit.WEBAUTHN, 0x45, b"t"),
            "extensions announced but absent": self.passkey(audit.WEBAUTHN, 0x85, b"t"),
            "another origin": self.passkey(audit.WEBAUTHN, 0x05, b"t", origin="https://evil.example"),
            "something other after crossOrigin": self.passkey(audit.WEBAUTHN, 0x05, b"t", tail="x}"),
        }.items():
            self.assertIsNone(shown, what)


if __name__ == "__main__":
    unittest.main()

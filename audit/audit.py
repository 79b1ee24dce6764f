#!/usr/bin/env python3
"""Countersign's acceptance rule, a second time.

Written from docs/spec/ alone, for an auditor who trusts neither the server nor the Rust. It needs Python 3.11, the package
`cryptography` and OpenSSH's `ssh-keygen`; it opens no connection and writes nothing but temporary files.

    audit.py verify FOLDER     one evidence bundle: judge it again, check by check, and say what it does not prove
    audit.py bundle FOLDER     all bundles below it: who asked, who approved, which devices ran it, how it ended
    audit.py span FOLDER       the evidence of a span of time: that it holds, what is missing, what it does not prove
    audit.py vectors FOLDER    a folder of such bundles: compare each verdict with the one written beside it

For example:
    audit.py bundle evidence                            # a year of jobs, as `countersign audit JOB --out evidence` wrote them
    audit.py verify evidence/91c0a4.../dev-77f0...      # one job on one device
    audit.py span incident                              # a day, as `countersign evidence --from 24h --to incident` wrote it
    audit.py vectors crates/trust/vectors               # does this program judge as the Rust does?
    cat evidence/*/*/org | sort -u                      # first: is this the organization that you were asked about?

Exit: 0 it holds, 1 it does not, 2 it cannot be read, 3 it holds and something is missing, which is named. "[3]" in a comment is page 3 of docs/spec/. In what is printed "[3]" is check 3
of docs/spec/6-acceptance.md, "[r]" a receipt; a word in brackets after a sentence is its stable code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    """Something does not hold: a stable code and a sentence with both values in it."""

    def __init__(self, code: str, sentence: str):
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return f"{self.sentence} ({self.code})"


def refuse_if(amiss, code: str, sentence: str) -> None:
    if amiss:
        raise Refused(code, sentence)


@contextmanager
def told_as(code: str):
    """Whatever is refused within is refused under this code."""
    try:
        yield
    except Refused as refused:
        raise Refused(code, refused.sentence) from refused


class Unreadable(Exception):
    """The folder is not a bundle: a file is missing, or is not what its name says."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hex256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def when(time: int) -> str:
    """A time in seconds since 1970, as people read it, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


def unbase64(text: str) -> bytes:
    """RFC 4648 section 4 with padding; no other spelling of the same bytes ([README])."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise Refused("Statement", f"not base64: {text[:40]!r}") from error
    refuse_if(base64.b64encode(data).decode() != text, "Statement", f"not the canonical base64 of its bytes: {text[:40]!r}")
    return data


# ---------------------------------------------------------------------------------------------------------------------
# [1] Canonical text. A printer takes a value and the indent and gives the one way to write it, or refuses the value.
# ---------------------------------------------------------------------------------------------------------------------

FREE_TEXT = """
    20-7E A1-AC AE-2C1 370-373 376-377 37B-37F 384-38A 38C 38E-3A1 3A3-482 48A-52F 2010-2015 2018-201F 2020-2022 2026
    2030-2033 2039-203A 20A0-20BF 2190-21FF 2200-22FF 2500-257F 3001-3003 300C-3011 3041-3096 30A1-30FA 4E00-9FA5 AC00-D7A3
"""


def _free_characters() -> frozenset[int]:
    points: set[int] = set()
    for span in FREE_TEXT.split():
        first, _, last = span.partition("-")
        points.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(points)


FREE_CHARACTERS = _free_characters()
LARGEST_INTEGER = 2**53 - 1
SIZES = {"policy": 262_144, "halt": 2_048}  # bytes; any other statement 65,536
OTHER_SIZE = 65_536


def bad(sentence: str) -> Refused:
    return Refused("Statement", sentence)


def quoted(text: str) -> str:
    for plain, escape in (("\\", "\\\\"), ('"', '\\"'), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(plain, escape)
    return f'"{text}"'


def word(what: str, holds):
    """A string for which `holds` is true."""

    def printer(value, _indent):
        if type(value) is not str or not holds(value):
            raise bad(f"not {what}: {value!r:.80}")
        return quoted(value)

    return printer


def pattern(what: str, expression: str):
    compiled = re.compile(expression, re.ASCII)
    return word(what, lambda value: compiled.fullmatch(value) is not None)


def free(what: str, also: str, most: int):
    def holds(value):
        if any(ord(c) not in FREE_CHARACTERS and c not in also for c in value):
            return False
        return len(value.encode()) <= most

    return word(what, holds)


def or_nothing(printer):
    return lambda value, indent: '""' if value == "" else printer(value, indent)


def integer(least: int = 0, most: int = LARGEST_INTEGER):
    def printer(value, _indent):
        if type(value) is not int or not least <= value <= most:
            raise bad(f"not an integer from {least} to {most}: {value!r:.40}")
        return str(value)

    return printer


def boolean(value, _indent):
    if type(value) is not bool:
        raise bad(f"neither true nor false: {value!r:.40}")
    return "true" if value else "false"


def bracketed(opening: str, items: list[str], closing: str, indent: int) -> str:
    if not items:
        return opening + closing
    step = "\n" + " " * (indent + 2)
    return opening + step + ("," + step).join(items) + "\n" + " " * indent + closing


def list_of(item):
    def printer(value, indent):
        if type(value) is not list:
            raise bad(f"not a list: {value!r:.40}")
        return bracketed("[", [item(each, indent + 2) for each in value], "]", indent)

    return printer


def ascending(keys) -> bool:
    """Each once, and none empty: that would come before all others ([1], "The print")."""
    keys = [b"", *(key.encode("utf-8", "surrogatepass") for key in keys)]
    return all(before < after for before, after in zip(keys, keys[1:]))


def set_of(item):
    def printer(value, indent):
        printed = list_of(item)(value, indent)
        if not ascending(value):
            raise bad(f"a set out of order: {value!r:.80}")
        return printed

    return printer


def map_of(key, item):
    def printer(value, indent):
        if type(value) is not dict:
            raise bad(f"not an object: {value!r:.40}")
        if not ascending(value):
            raise bad(f"a map out of order: {list(value)!r:.80}")
        items = [f"{key(name, 0)}: {item(each, indent + 2)}" for name, each in value.items()]
        return bracketed("{", items, "}", indent)

    return printer


def record(**fields):
    def printer(value, indent):
        if type(value) is not dict:
            raise bad(f"not an object: {value!r:.40}")
        if list(value) != list(fields):
            raise bad(f"the fields {list(value)} where {list(fields)} must stand")
        items = [f'"{name}": {item(value[name], indent + 2)}' for name, item in fields.items()]
        return bracketed("{", items, "}", indent)

    return printer


def one_of(**alternatives):
    def printer(value, indent):
        if type(value) is not dict or len(value) != 1 or next(iter(value)) not in alternatives:
            raise bad(f"not one of {sorted(alternatives)}: {value!r:.60}")
        return record(**{name: alternatives[name] for name in value})(value, indent)

    return printer


def _is_path(value: str) -> bool:
    plain = re.fullmatch(r"/[\x20-\x7e]{0,254}", value, re.ASCII)
    return plain is not None and not {".", ".."} & set(value.split("/"))


def key_printer(read, what: str, holds):
    """A key: `read` refuses what is none, `holds` says whether it is of the sort that may stand here."""

    def printer(value, _indent):
        if type(value) is not str or not holds(read(value)):
            raise bad(f"not {what}: {value!r:.80}")
        return quoted(value)

    return printer


HASH = pattern("a hash", "[0-9a-f]{64}")
ORG = pattern("an org id", "org-[0-9a-f]{64}")
DEVICE = pattern("a device id", "dev-[0-9a-f]{64}")
STATEMENT_ID = pattern("a statement id", "id-[0-9a-f]{32}")
NAME = pattern("a name", r"(?! )[ !#-\[\]-~]{1,64}(?<! )")
VARIABLE = pattern("a variable", "[A-Za-z_][A-Za-z0-9_]{0,63}")
ADDRESS = pattern("an address", "[!-~]{0,255}")
LINE = free("a line", "\t", 400)
PROSE = free("prose", "\n", 2_000)
PATH = word("a path", _is_path)
SSH_KEY = key_printer(lambda value: SshKey.read(value), "an ssh key", lambda key: True)
NOTE_KEY = key_printer(lambda value: NoteKey.read(value), "a note key", lambda key: True)
NUMBER = integer()
NOTHING = record()
LABELS = map_of(NAME, NAME)


# ---------------------------------------------------------------------------------------------------------------------
# [3] The types, field by field in the order of the tables.
# ---------------------------------------------------------------------------------------------------------------------

SMALL, POSITIVE = integer(0, 255), integer(1, 255)
QUORUM = record(role=NAME, need=POSITIVE)
PERSON = record(keys=list_of(record(key=SSH_KEY, same_origin=boolean)))
RULE = record(
    kinds=set_of(NAME), labels=LABELS, requesters=set_of(NAME), approvers=set_of(NAME), approvals=SMALL,
    properties=set_of(pattern("a property", "presence|verification")),
    hours=list_of(record(**{"from": NUMBER, "until": NUMBER})), waves=NUMBER,
)
TRIPWIRE = record(
    what=one_of(canary=record(paths=set_of(PATH)), refusals=NOTHING, silence=NOTHING), count=NUMBER, within=NUMBER,
    then=pattern("tell or halt", "tell|halt"),
)
POLICY = record(
    org=or_nothing(ORG), number=NUMBER, previous=set_of(HASH), resumes=set_of(HASH), name=LINE, people=map_of(NAME, PERSON),
    roles=map_of(NAME, set_of(NAME)), rules=list_of(RULE),
    quorums=record(policy=QUORUM, enroll=QUORUM, resume=QUORUM, promote=QUORUM),
    halt=record(roles=set_of(NAME), machines=map_of(NAME, SSH_KEY)),
    log=record(key=NOTE_KEY, old_size=NUMBER, old_root=or_nothing(HASH)),
    witnesses=record(need=POSITIVE, keys=set_of(NOTE_KEY)),
    beacons=record(need=POSITIVE, lifetime=NUMBER, keys=set_of(NOTE_KEY)),
    vendor=record(need=SMALL, keys=set_of(SSH_KEY), halts=pattern("auto, ask or off", "auto|ask|off")),
    passkeys=record(rp_id=ADDRESS, origins=set_of(ADDRESS)),
    limits=record(life=NUMBER, concurrent=POSITIVE, output=NUMBER, auto_waves_max=NUMBER),
    tripwires=list_of(TRIPWIRE),
    guarded=set_of(NAME),
    addresses=record(servers=map_of(ADDRESS, or_nothing(HASH)), beacons=map_of(LINE, ADDRESS), witnesses=map_of(LINE, ADDRESS)),
    recovery=record(need=SMALL, keys=set_of(SSH_KEY)),
)
SCRIPT = record(
    run=one_of(
        program=record(path=PATH, arguments=list_of(LINE)),
        lines=record(interpreter=PATH, arguments=list_of(LINE), lines=list_of(LINE)),
    ),
    user=NAME, folder=PATH, environment=map_of(VARIABLE, LINE), timeout=NUMBER, output=NUMBER, memory=NUMBER,
    processes=NUMBER, processor=NUMBER,
)
UNIT = pattern("a unit", r"(?=.{0,128}\Z)[A-Za-z0-9][A-Za-z0-9:_.-]*(@[A-Za-z0-9:_.-]*)?\.(service|socket|timer)")
SERVICE = record(
    unit=UNIT, action=pattern("an action", "status|start|stop|restart|reload|enable|disable"), timeout=NUMBER,
)
JOB = record(
    org=ORG, id=STATEMENT_ID, requester=NAME, policy=HASH, resume=or_nothing(HASH), not_before=NUMBER, not_after=NUMBER,
    why=PROSE, steps=list_of(one_of(script=SCRIPT, service=SERVICE)),
    targets=one_of(
        list=record(count=NUMBER, root=HASH),
        labels=record(labels=LABELS, as_of=NUMBER, joins=boolean),
    ),
    waves=list_of(record(who=one_of(share=NUMBER, labels=LABELS), soak=NUMBER)),
    on_halt=pattern("kill or finish", "kill|finish"), repeat=NUMBER, halt_above=NUMBER,
)
ADVANCE = record(
    org=ORG, id=STATEMENT_ID, policy=HASH, resume=or_nothing(HASH), job=HASH, wave=NUMBER, root=HASH, well=NUMBER, failed=NUMBER,
    missing=NUMBER, why=PROSE,
)
HALT = record(
    org=or_nothing(ORG), id=STATEMENT_ID, policy=or_nothing(HASH),
    scope=one_of(organization=NOTHING, job=HASH, script=HASH, person=NAME, component=record(name=NAME, below=NAME)),
    made=NUMBER, reason=PROSE, advisory=LINE,
)
RESUME = record(
    org=ORG, policy=HASH, previous=set_of(HASH), lifts=one_of(halts=set_of(HASH), keys=set_of(SSH_KEY)),
    cuts=one_of(none=NOTHING, people=set_of(NAME), all=NOTHING), keeps=set_of(HASH), why=PROSE,
)
ENROLL = record(
    org=ORG, id=STATEMENT_ID,
    what=one_of(
        device=record(key=NOTE_KEY, host_key=LINE, site=NAME, labels=LABELS, seq=NUMBER, previous=or_nothing(HASH)),
        batch=record(token=NOTE_KEY, site=NAME, labels=LABELS, count=NUMBER, until=NUMBER),
        retire=record(device=DEVICE),
    ),
)
TYPES = {"policy": POLICY, "job": JOB, "advance": ADVANCE, "halt": HALT, "resume": RESUME, "enroll": ENROLL}


def _pairs(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise bad(f"a key stands twice among {[key for key, _ in pairs]!r:.80}")
    return value


def _no_other_number(spelling: str):
    raise bad(f"not a whole number: {spelling:.40}")


def read_text(kind: str, text: bytes) -> dict:
    """Parse, print, compare ([1]): the value, if `text` is the one print of it."""
    if len(text) > SIZES.get(kind, OTHER_SIZE):
        raise bad(f"{len(text)} bytes, a {kind} has at most {SIZES.get(kind, OTHER_SIZE)}")
    try:
        value = json.loads(
            text.decode("utf-8"), object_pairs_hook=_pairs, parse_float=_no_other_number, parse_constant=_no_other_number
        )
    except (ValueError, RecursionError) as error:
        raise bad(f"not JSON in UTF-8: {error}") from error
    printed = (TYPES[kind](value, 0) + "\n").encode()
    if printed != text:
        at = next((i for i, (a, b) in enumerate(zip(printed, text)) if a != b), min(len(printed), len(text)))
        raise bad(f"not the print of its value, from byte {at}: {text[at:at + 20]!r} where {printed[at:at + 20]!r} must stand")
    return value


# ---------------------------------------------------------------------------------------------------------------------
# [2] Keys and the signatures of people.
# ---------------------------------------------------------------------------------------------------------------------


class Wire:
    """SSH's wire format: strings after their length in 4 bytes (RFC 4251 section 5)."""

    def __init__(self, data: bytes):
        self.data = data

    def take(self, count: int) -> bytes:
        refuse_if(count > len(self.data), "Unreadable", f"{count} bytes wanted, {len(self.data)} left")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self) -> int:
        return struct.unpack(">I", self.take(4))[0]

    def string(self) -> bytes:
        return self.take(self.number())

    def positive(self) -> int:
        """An mpint above nothing, in its only spelling."""
        data = self.string()
        value = int.from_bytes(data, "big")
        if not data or data[0] & 0x80 or data != value.to_bytes(value.bit_length() // 8 + 1, "big"):
            raise Refused("Unreadable", "a number that is negative, zero or longer than it must be")
        return value

    def end(self) -> None:
        refuse_if(self.data, "Unreadable", f"{len(self.data)} bytes after the last field")


def ssh_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


FIELD = 2**255 - 19
EDWARDS_D = -121665 * pow(121666, FIELD - 2, FIELD) % FIELD
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def is_good_ed25519_point(raw: bytes) -> bool:
    """Canonical (RFC 8032 section 5.1.3) and not of small order: eight times it is not the neutral point. Where no point has this y,
    it may stand there, and nothing verifies by it ([2])."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(EDWARDS_D * y * y + 1, FIELD - 2, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if x * x % FIELD != square:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    if y >= FIELD or x * x % FIELD != square:
        return y < FIELD
    for _ in range(3):
        cross = EDWARDS_D * x * x * y * y
        x, y = (2 * x * y * pow(1 + cross, FIELD - 2, FIELD) % FIELD, (x * x + y * y) * pow(1 - cross, FIELD - 2, FIELD) % FIELD)
    return (x, y) != (0, 1)


ED25519, ECDSA, RSA = "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"
SK_ED25519, SK_ECDSA = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"
WEBAUTHN = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"
SECURITY_KEYS = (SK_ED25519, SK_ECDSA, WEBAUTHN)
# A listed algorithm's type of blob and type of signature.
ALGORITHMS = {
    ED25519: (ED25519, ED25519), ECDSA: (ECDSA, ECDSA), RSA: (RSA, "rsa-sha2-512"),
    SK_ED25519: (SK_ED25519, SK_ED25519), SK_ECDSA: (SK_ECDSA, SK_ECDSA), WEBAUTHN: (SK_ECDSA, WEBAUTHN),
}


@dataclass(frozen=True)
class SshKey:
    """A key as a policy lists it: its one algorithm, its blob, and the raw numbers by which two are compared ([2])."""

    algorithm: str
    blob: bytes
    numbers: bytes
    application: bytes = b""

    @staticmethod
    @lru_cache(maxsize=None)
    def read(text: str) -> SshKey:
        algorithm, _, encoded = text.partition(" ")
        if algorithm not in ALGORITHMS:
            raise bad(f"not an algorithm for a key: {algorithm!r:.60}")
        blob = unbase64(encoded)
        return SshKey.from_blob(algorithm, blob)

    @staticmethod
    def from_blob(algorithm: str, blob: bytes) -> SshKey:
        try:
            return SshKey._from_blob(algorithm, blob)
        except (Refused, ValueError) as error:
            raise bad(f"not a key of {algorithm}: {error}") from error

    @staticmethod
    def _from_blob(algorithm: str, blob: bytes) -> SshKey:
        wire = Wire(blob)
        if wire.string() != ALGORITHMS[algorithm][0].encode():
            raise ValueError("the blob is of another type")
        if algorithm in (ED25519, SK_ED25519):
            numbers = wire.string()
            if len(numbers) != 32 or not is_good_ed25519_point(numbers):
                raise ValueError("not a canonical point of large order")
        elif algorithm == RSA:
            exponent, modulus = wire.positive(), wire.positive()
            if exponent != 65537 or not 3072 <= modulus.bit_length() <= 8192 or modulus % 2 == 0:
                raise ValueError(f"e = {exponent}, a modulus of {modulus.bit_length()} bits that ends in {modulus % 2}")
            numbers = modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")
        else:
            curve, numbers = wire.string(), wire.string()
            if curve != b"nistp256" or len(numbers) != 65 or numbers[0] != 4:
                raise ValueError("not an uncompressed point of nistp256")
            EllipticCurvePublicKey.from_encoded_point(SECP256R1(), numbers)
        application = wire.string() if algorithm in SECURITY_KEYS else b""
        if algorithm in SECURITY_KEYS and not re.fullmatch(rb"[!-~]{1,255}", application):
            raise ValueError(f"the application {application!r:.80}")
        wire.end()
        return SshKey(algorithm, blob, numbers, application)

    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(sha256(self.blob)).decode().rstrip("=")


ARMOR_BEGIN, ARMOR_END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
MOST_SIGNATURE_BYTES = 8_192


@dataclass(frozen=True)
class Signature:
    """An SSHSIG (OpenSSH, PROTOCOL.sshsig), its signature field taken apart as PROTOCOL.u2f has it."""

    blob: bytes
    key_blob: bytes
    namespace: str
    algorithm: str
    numbers: bytes
    flags: int = 0
    origin: bytes = b""
    client: bytes = b""
    extensions: bytes = b""

    @staticmethod
    def read(blob: bytes) -> Signature:
        """Every field as [2] has it, or the envelope is unreadable. Whether it verifies is another question."""
        wire = Wire(blob)
        if len(blob) > MOST_SIGNATURE_BYTES or wire.take(6) != b"SSHSIG" or wire.number() != 1:
            raise Refused("Unreadable", f"not an SSHSIG of version 1 and at most {MOST_SIGNATURE_BYTES} bytes")
        key_blob, namespace, reserved, hash_name, inner = (wire.string() for _ in range(5))
        wire.end()
        refuse_if(reserved or hash_name != b"sha512", "Unreadable", f"reserved {reserved!r}, hash {hash_name!r}")
        if namespace not in [f"{kind}.v1@countersign".encode() for kind in TYPES]:
            raise Refused("Unreadable", f"the namespace {namespace!r}")
        wire = Wire(inner)
        algorithm, numbers = wire.string().decode("ascii", "replace"), wire.string()
        allowed = [of_signature for of_key, of_signature in ALGORITHMS.values() if Wire(key_blob).string() == of_key.encode()]
        refuse_if(algorithm not in allowed, "Unreadable", f"a signature {algorithm!r} by a key {Wire(key_blob).string()!r}")
        SshKey.from_blob(next(name for name, (_, of_signature) in ALGORITHMS.items() if of_signature == algorithm), key_blob)
        parts = {}
        if algorithm in SECURITY_KEYS:
            parts["flags"], _counter = wire.take(1)[0], wire.number()
        if algorithm == WEBAUTHN:
            parts.update({"origin": wire.string(), "client": wire.string(), "extensions": wire.string()})
        wire.end()
        return Signature(blob, key_blob, namespace.decode(), algorithm, numbers, **parts)

    def armored(self) -> bytes:
        return ARMOR_BEGIN + lines_of_70(self.blob) + ARMOR_END

    def signed_blob(self, text: bytes) -> bytes:
        """What the key signed: PROTOCOL.sshsig, "Blob format" of the signed data."""
        digest = hashlib.sha512(text).digest()
        parts = (self.namespace.encode(), b"", b"sha512", digest)
        return b"SSHSIG" + b"".join(ssh_string(part) for part in parts)


def unarmored(block: bytes) -> bytes:
    """The blob of one signature in OpenSSH's armor, whose lines have 70 digits ([2])."""
    body = block.removeprefix(ARMOR_BEGIN).removesuffix(ARMOR_END)
    blob = unbase64(body.replace(b"\n", b"").decode("ascii", "replace"))
    refuse_if(body != lines_of_70(blob), "Unreadable", "the armor's lines are not of 70")
    return blob


def lines_of_70(blob: bytes) -> bytes:
    encoded = base64.b64encode(blob)
    return b"".join(encoded[at : at + 70] + b"\n" for at in range(0, len(encoded), 70))


class SshKeygen:
    """The cryptographic check, by OpenSSH itself: `ssh-keygen -Y verify` with an allowed_signers file of one policy."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="countersign-audit-")
        self.answers: dict[tuple, bool] = {}

    def allowed_signers(self, keys: list[SshKey]) -> str:
        """One line for each key; the principal is the hash of its blob, so that names cannot act as patterns."""
        lines = []
        for key in keys:
            lines.append(f"{hex256(key.blob)} {ALGORITHMS[key.algorithm][0]} {base64.b64encode(key.blob).decode()}\n")
        return "".join(lines)

    def verifies(self, keys: list[SshKey], key: SshKey, signature: Signature, text: bytes) -> bool:
        question = (key.blob, signature.blob, sha256(text))
        if question not in self.answers:
            signers, armored = Path(self.folder.name, "allowed_signers"), Path(self.folder.name, "signature")
            signers.write_text(self.allowed_signers(keys))
            armored.write_bytes(signature.armored())
            command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", hex256(key.blob)]
            command += ["-n", signature.namespace, "-s", str(armored)]
            self.answers[question] = subprocess.run(command, input=text, capture_output=True).returncode == 0
        return self.answers[question]


SSH_KEYGEN = SshKeygen()


@dataclass(frozen=True)
class Passkeys:
    """What a policy says of passkeys."""

    rp_id: str
    origins: tuple[str, ...]


def check_spelling(key: SshKey, numbers: bytes) -> None:
    """The numbers of a signature have one spelling ([2]); ssh-keygen takes others too."""
    if key.algorithm == RSA:
        refuse_if(len(numbers) != len(key.numbers), "Signature", f"{len(numbers)} bytes by a modulus of {len(key.numbers)}")
    elif key.algorithm in (ED25519, SK_ED25519):
        large = len(numbers) != 64 or int.from_bytes(numbers[32:], "little") >= ED25519_ORDER
        refuse_if(large, "Signature", "not 64 bytes, the second half below the order")
    else:
        pair = Wire(numbers)
        refuse_if(max(pair.positive(), pair.positive()) >= 2**256, "Signature", "a number of more than 32 bytes")
        pair.end()


def properties_of(key: SshKey, signature: Signature, text: bytes, passkeys: Passkeys) -> set[str]:
    """What ssh-keygen does not demand ([2]): the one algorithm, touch, and of a passkey where and how it was asked.

    Gives the properties the signature shows, or refuses it with the reason.
    """
    if signature.algorithm != ALGORITHMS[key.algorithm][1]:
        raise Refused("Signature", f"a signature {signature.algorithm} by a key listed as {key.algorithm}")
    check_spelling(key, signature.numbers)
    if key.algorithm in (ED25519, ECDSA, RSA):
        return set()
    flags, extensions = signature.flags, signature.extensions
    refuse_if(not flags & 0x01, "Signature", "made without presence")
    if flags & 0x40 or bool(flags & 0x80) != bool(extensions):
        raise Refused("Signature", f"made with flags {flags:#04x} and {len(extensions)} bytes of extensions")
    if key.algorithm == WEBAUTHN:
        _check_passkey(key, signature, text, passkeys)
    return {"presence", "verification"} if signature.flags & 0x04 else {"presence"}


def _check_passkey(key: SshKey, signature: Signature, text: bytes, passkeys: Passkeys) -> None:
    """PROTOCOL.u2f, "webauthn signatures", and the six demands of [2]."""
    flags, origin = signature.flags, signature.origin
    refuse_if(not flags & 0x04, "Signature", "a passkey without verification of its holder")
    if not passkeys.rp_id or key.application != passkeys.rp_id.encode():
        raise Refused("Signature", f"a passkey for {key.application!r}, the policy has {passkeys.rp_id!r}")
    if origin not in [each.encode() for each in passkeys.origins] or b'"' in origin or b"\\" in origin:
        raise Refused("Signature", f"a passkey asked from {origin!r}, the policy has {list(passkeys.origins)}")
    asked = base64.urlsafe_b64encode(signature.signed_blob(text)).rstrip(b"=")
    begins = b'{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false' % (asked, origin)
    if not signature.client.startswith((begins + b",", begins + b"}")):
        raise Refused("Signature", f"a passkey's clientData that begins {signature.client[:60]!r}")


# ---------------------------------------------------------------------------------------------------------------------
# [2] The signatures of machines: c2sp.org/signed-note.
# ---------------------------------------------------------------------------------------------------------------------

ED25519_NOTE, COSIGNATURE = 0x01, 0x04
MOST_SIGNATURE_LINES = 64
MOST_NOTE = 65_536  # bytes, of a note and of a proof


@dataclass(frozen=True)
class NoteKey:
    """A vkey: `<name>+<8 digits>+<base64 of type byte and key>`."""

    name: str
    ident: bytes
    kind: int
    raw: bytes

    @staticmethod
    @lru_cache(maxsize=None)
    def read(text: str) -> NoteKey:
        parts = text.split("+", 2)
        if len(parts) != 3 or not re.fullmatch("[!-~]{1,255}", parts[0], re.ASCII):
            raise bad(f"not a note key: {text!r:.80}")
        name, ident, material = parts[0], parts[1], unbase64(parts[2])
        if len(material) != 33 or material[0] not in (ED25519_NOTE, COSIGNATURE):
            raise bad(f"a note key of another type or length: {text!r:.80}")
        if sha256(name.encode() + b"\n" + material)[:4].hex() != ident:
            raise bad(f"a note key whose digits are not its hash: {text!r:.80}")
        if not is_good_ed25519_point(material[1:]):
            raise bad(f"a note key that is not a canonical point of large order: {text!r:.80}")
        return NoteKey(name, bytes.fromhex(ident), material[0], material[1:])

    def device_id(self) -> str:
        return "dev-" + hex256(self.raw)


def ed25519_verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Note:
    text: bytes
    lines: tuple[tuple[str, bytes, bytes], ...]  # key name, four bytes of the key's hash, signature

    @staticmethod
    def read(data: bytes) -> Note:
        """The text ends before the last empty line; 1 to 64 signature lines follow, and nothing else ([2])."""
        refuse_if(len(data) > MOST_NOTE, "Note", f"a note of {len(data)} bytes, at most {MOST_NOTE} are read")
        parting = data.rfind(b"\n\n")
        if parting < 0 or not data.endswith(b"\n") or any(byte < 0x20 and byte != 0x0A for byte in data):
            raise Refused("Note", "not a signed note")
        lines = data[parting + 2 :].decode("utf-8", "replace").split("\n")[:-1]
        if not 1 <= len(lines) <= MOST_SIGNATURE_LINES:
            raise Refused("Note", f"{len(lines)} signature lines, at most {MOST_SIGNATURE_LINES}")
        return Note(data[: parting + 1], tuple(map(_signature_line, lines)))

    def fields(self) -> list[str]:
        """The lines of the text."""
        try:
            return self.text.decode("utf-8").split("\n")[:-1]
        except ValueError as error:
            raise Refused("Note", "a note that is not UTF-8") from error

    def _by(self, key: NoteKey) -> list[bytes]:
        return [signature for name, ident, signature in self.lines if (name, ident) == (key.name, key.ident)]

    def is_signed_by(self, key: NoteKey) -> bool:
        return key.kind == ED25519_NOTE and any(ed25519_verifies(key.raw, each, self.text) for each in self._by(key))

    def cosigned_at(self, key: NoteKey) -> int | None:
        """The earliest time at which `key` cosigned (c2sp.org/tlog-cosignature, "cosignature/v1")."""
        times = []
        for each in self._by(key):
            if key.kind == COSIGNATURE and len(each) == 72:
                time = int.from_bytes(each[:8], "big")
                if time < 2**63 and ed25519_verifies(key.raw, each[8:], b"cosignature/v1\ntime %d\n" % time + self.text):
                    times.append(time)
        return min(times, default=None)


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or "+" in parts[1] or any(map(str.isspace, parts[1])):
        raise Refused("Note", f"no signature line: {line!r:.80}")
    material = unbase64(parts[2])
    refuse_if(len(material) <= 4, "Note", f"a signature line without signature: {line!r:.80}")
    return (parts[1], material[:4], material[4:])


# ---------------------------------------------------------------------------------------------------------------------
# [4] The log.
# ---------------------------------------------------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, over leaves that are not hashed yet."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def root_by_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that `path` gives for the leaf hash `leaf` (RFC 9162 section 2.1.3.2); the path has exactly its length."""
    refuse_if(not 0 <= index < size, "Path", f"index {index} in a tree of {size}")
    root, last, rest = leaf, size - 1, list(path)
    while last > 0:
        if index % 2 == 1 or index < last:
            refuse_if(not rest, "Path", f"a path of {len(path)} hashes is too short for a tree of {size}")
            sibling = rest.pop(0)
            root = node_hash(sibling, root) if index % 2 == 1 else node_hash(root, sibling)
        index, last = index // 2, last // 2
    refuse_if(rest, "Path", f"a path of {len(path)} hashes is too long for a tree of {size}")
    return root


def decimal(text: str) -> int:
    refuse_if(not re.fullmatch("0|[1-9][0-9]{0,19}", text, re.ASCII), "Note", f"not a decimal number: {text!r:.40}")
    refuse_if(int(text) >= 2**64, "Note", f"a number of more than 64 bits: {text}")
    return int(text)


def hash_line(text: str) -> bytes:
    data = unbase64(text)
    refuse_if(len(data) != 32, "Note", f"not a hash: {text!r:.60}")
    return data


@dataclass(frozen=True)
class Proof:
    """A `c2sp.org/tlog-proof@v1`."""

    index: int
    path: list[bytes]
    checkpoint: Note
    origin: str
    size: int
    root: bytes

    @staticmethod
    def read(data: bytes) -> Proof:
        refuse_if(len(data) > MOST_NOTE, "Note", f"a proof of {len(data)} bytes, at most {MOST_NOTE} are read")
        head, parting, rest = data.partition(b"\n\n")
        lines = head.decode("utf-8", "replace").split("\n")
        refuse_if(not parting or lines.pop(0) != "c2sp.org/tlog-proof@v1", "Note", "not a tlog-proof")
        if lines and lines[0].startswith("extra "):
            unbase64(lines.pop(0).removeprefix("extra "))
        refuse_if(not lines or not lines[0].startswith("index "), "Note", "a tlog-proof without index")
        index = decimal(lines.pop(0).removeprefix("index "))
        refuse_if(len(lines) > 64, "Note", f"a proof of {len(lines)} hashes, at most 64 are read")
        checkpoint = Note.read(rest)
        fields = checkpoint.fields()
        refuse_if(len(fields) < 3 or not all(fields), "Note", "not a checkpoint")
        return Proof(index, [hash_line(each) for each in lines], checkpoint, fields[0], decimal(fields[1]), hash_line(fields[2]))


def log_entry(org: str, kind: str, statement: bytes, signatures: bytes) -> bytes:
    """The bytes of an entry. `signatures` is what is hashed: each SSHSIG after its length, or nothing."""
    return f"countersign-leaf/v1\n{org}\n{kind}\n{statement.hex()}\n{hex256(signatures)}\n".encode()


def logged_at(proof: Proof | None, entry: bytes, log: NoteKey, judge: Held) -> int:
    """By the witnesses of the policy `judge`. The time of the proof: the smallest t by which the cosignatures meet the quorum. Refuses what is not logged."""
    if proof is None:
        raise Refused("Log", "no proof that it stands in the log")
    if proof.origin != log.name or not proof.checkpoint.is_signed_by(log):
        raise Refused("Log", f"a checkpoint of {proof.origin!r}, not signed by the log {log.name!r}")
    with told_as("Log"):
        root = root_by_path(leaf_hash(entry), proof.index, proof.size, proof.path)
    refuse_if(root != proof.root, "Log", f"the proof leads to root {root.hex()}, the checkpoint's is {proof.root.hex()}")
    cosigned = {key.raw: proof.checkpoint.cosigned_at(key) for key in judge.note_keys("witnesses")}
    times, need = sorted(time for time in cosigned.values() if time is not None), judge.value["witnesses"]["need"]
    refuse_if(len(times) < need, "Log", f"cosigned by {len(times)} witnesses, {need} are needed")
    return times[need - 1]


# ---------------------------------------------------------------------------------------------------------------------
# [2] The envelope, and who signed: the one place where signatures are counted.
# ---------------------------------------------------------------------------------------------------------------------

MOST_SIGNATURES = 32


@dataclass(frozen=True)
class Envelope:
    """A statement's bytes, its signatures and its proof. Its text is read later: first somebody known must have signed."""

    kind: str
    text: bytes
    signatures: tuple[Signature, ...]
    proof: Proof | None

    @property
    def hash(self) -> str:
        return hex256(self.text)

    @staticmethod
    @told_as("Unreadable")
    def read(data: bytes) -> Envelope:
        """Statement, signatures, and whatever follows the last signature as the proof, which only a halt may lack."""
        end = data.find(b"\n}\n") + 1
        refuse_if(end == 0, "Unreadable", "a statement without end")
        text, rest, signatures = data[: end + 2], data[end + 2 :], []
        while rest.startswith(ARMOR_BEGIN):
            block, mark, rest = rest.partition(ARMOR_END)
            signatures.append(Signature.read(unarmored(block + mark)))
        namespaces = {each.namespace for each in signatures}
        if not 1 <= len(signatures) <= MOST_SIGNATURES or len(namespaces) != 1:
            raise Refused("Unreadable", f"{len(signatures)} signatures in {len(namespaces)} namespaces")
        order = [sha256(each.key_blob) for each in signatures]
        if any(before >= after for before, after in zip(order, order[1:])):
            raise Refused("Unreadable", "signatures that do not ascend by the hash of their key")
        kind = namespaces.pop().removesuffix(".v1@countersign")
        weight = sum(len(each.blob) for each in signatures)
        refuse_if(kind == "halt" and weight > MOST_SIGNATURE_BYTES, "Unreadable", f"{weight} bytes of signatures under a halt")
        refuse_if(not rest and kind != "halt", "Unreadable", f"a {kind} without proof that it stands in the log")
        return Envelope(kind, text, tuple(signatures), Proof.read(rest) if rest else None)

    def joined(self, other: Envelope) -> Envelope:
        """The same text with the signatures of both, of one key the first."""
        of_both = {sha256(each.key_blob): each for each in reversed(self.signatures + other.signatures)}
        return replace(self, signatures=tuple(of_both[key] for key in sorted(of_both)))

    def entry(self, org: str) -> bytes:
        blobs = b"".join(ssh_string(each.blob) for each in self.signatures)
        return log_entry(org, self.kind, sha256(self.text), blobs)


Place = tuple[int, int]  # of a leaf: which of the organization's logs, and the index in it


@dataclass(frozen=True)
class Held:
    """A policy that was read: its value, its hash, and the keys in it by what they may do."""

    value: dict
    hash: str
    org: str
    place: Place = (0, 0)

    @property
    def number(self) -> int:
        return self.value["number"]

    @property
    def passkeys(self) -> Passkeys:
        return Passkeys(self.value["passkeys"]["rp_id"], tuple(self.value["passkeys"]["origins"]))

    def people_keys(self) -> list[tuple[str, SshKey, bool]]:
        """Name, key, whether it is marked `same_origin`."""
        people = self.value["people"].items()
        return [(name, SshKey.read(each["key"]), each["same_origin"]) for name, person in people for each in person["keys"]]

    def ssh_keys(self) -> list[SshKey]:
        """Every ssh key, in whatever role."""
        others = [*self.value["halt"]["machines"].values(), *self.value["vendor"]["keys"], *self.value["recovery"]["keys"]]
        return [key for _, key, _ in self.people_keys()] + [SshKey.read(each) for each in others]

    def note_keys(self, role: str) -> list[NoteKey]:
        return [NoteKey.read(each) for each in self.value[role]["keys"]]

    @property
    def log(self) -> NoteKey:
        return NoteKey.read(self.value["log"]["key"])

    def members(self, roles: list[str]) -> set[str]:
        return {name for role in roles for name in self.value["roles"][role]}


@dataclass(frozen=True)
class Signer:
    """A person of a policy, one key of theirs, and what the signature shows."""

    name: str
    key: SshKey
    same_origin: bool
    shows: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name} ({self.key.fingerprint()})"


def shown_by(envelope: Envelope, policy: Held, key: SshKey) -> set[str] | None:
    """The properties of the signature by `key`, if there is one that verifies. One that does not does no harm ([2])."""
    for signature in envelope.signatures:
        if signature.key_blob == key.blob:
            try:
                shown = properties_of(key, signature, envelope.text, policy.passkeys)
            except Refused:
                return None
            verifies = SSH_KEYGEN.verifies(policy.ssh_keys(), key, signature, envelope.text)
            return shown if verifies else None
    return None


def signers(envelope: Envelope, policy: Held) -> list[Signer]:
    """Every key of a person of `policy` whose signature under the envelope verifies."""
    found = []
    for name, key, same_origin in policy.people_keys():
        shown = shown_by(envelope, policy, key)
        if shown is not None:
            found.append(Signer(name, key, same_origin, frozenset(shown)))
    return found


def check_quorum(envelope: Envelope, policy: Held, which: str, halted: frozenset[str] = frozenset()) -> set[str]:
    """A person counts once; a key marked `same_origin` never counts here ([2]). Gives who counted."""
    quorum = policy.value["quorums"][which]
    people = {each.name for each in signers(envelope, policy) if not each.same_origin} & policy.members([quorum["role"]]) - halted
    refuse_if(len(people) < quorum["need"], "Quorum", f"signed by {len(people)} of {quorum['role']}, {which} needs {quorum['need']}")
    return people


def is_known(envelope: Envelope, policies: list[Held]) -> bool:
    """Whether a signature verifies by a person's key, or for a policy a recovery set's, of a policy held ([3], "The chain"; [6], 0)."""
    if any(shown_by(envelope, policy, key) is not None for policy in policies for _, key, _ in policy.people_keys()):
        return True
    return envelope.kind == "policy" and any(recovering(envelope, policy) for policy in policies)


def recovering(envelope: Envelope, policy: Held) -> int:
    """How many keys of the recovery set of `policy` signed."""
    return sum(shown_by(envelope, policy, SshKey.read(each)) is not None for each in policy.value["recovery"]["keys"])


# ---------------------------------------------------------------------------------------------------------------------
# [3] The chain: policies, resumes and halts, and enrollment.
# ---------------------------------------------------------------------------------------------------------------------


def _check_range(what: str, value: int, least: int, most: int) -> None:
    refuse_if(not least <= value <= most, "Policy", f"{what} is {value}, not from {least} to {most}")


def check_usable(value: dict) -> None:
    """[3], "Usable": whoever signed it, a policy that nobody could satisfy or that names what is not there is refused."""
    people, roles = value["people"], value["roles"]
    for name, person in people.items():
        refuse_if(not person["keys"], "Policy", f"{name} has no key")
    for role, members in roles.items():
        for name in members:
            refuse_if(name not in people, "Policy", f"the role {role} names {name}, who is not there")
    named = [role for rule in value["rules"] for role in rule["requesters"] + rule["approvers"]]
    named += [quorum["role"] for quorum in value["quorums"].values()] + value["halt"]["roles"]
    for role in named:
        refuse_if(role not in roles, "Policy", f"the role {role} is not there")
    for which, quorum in value["quorums"].items():
        able = [name for name in roles[quorum["role"]] if can_sign(people[name], set(), True)]
        if len(able) < quorum["need"]:
            raise Refused("Policy", f"{which} needs {quorum['need']} people, {quorum['role']} has {len(able)} whose keys count")
    for which in ("witnesses", "beacons", "vendor", "recovery"):
        need, keys = value[which]["need"], value[which]["keys"]
        refuse_if(need > len(keys), "Policy", f"{which} need {need} of {len(keys)} keys")
    _check_keys(value)
    _check_range("the beacons' lifetime", value["beacons"]["lifetime"], 60, 3600)
    _check_range("the limit of a job's life", value["limits"]["life"], 1, 2_592_000)
    for tripwire in value["tripwires"]:
        _check_range("a tripwire's count", tripwire["count"], 1, 4_294_967_295)
        _check_range("a tripwire's span", tripwire["within"], 1, 86_400)
    refuse_if(len(value["tripwires"]) > 16, "Policy", f"{len(value['tripwires'])} tripwires")
    canaries = {path for each in value["tripwires"] for path in each["what"].get("canary", {}).get("paths", [])}
    refuse_if(len(canaries) > 64, "Policy", f"{len(canaries)} canaries")
    for number, rule in enumerate(value["rules"]):
        _check_rule(f"rule {number}", rule, roles, people)


def can_sign(person: dict, properties: set[str], alone: bool) -> bool:
    """Whether a key of theirs can show `properties`, which takes a security key; `alone`: and is of no same origin."""
    keys = [(SshKey.read(each["key"]), each["same_origin"]) for each in person["keys"]]
    return any((not properties or key.algorithm in SECURITY_KEYS) and not (alone and same) for key, same in keys)


def _check_keys(value: dict) -> None:
    """No key stands twice by its raw numbers, and each note key is of the type that its role signs with."""
    held = Held(value, "", "")
    notes = [("log", held.log, ED25519_NOTE)]
    notes += [("witnesses", key, COSIGNATURE) for key in held.note_keys("witnesses")]
    notes += [("beacons", key, ED25519_NOTE) for key in held.note_keys("beacons")]
    numbers = [key.numbers for key in held.ssh_keys()] + [key.raw for _, key, _ in notes]
    refuse_if(len(set(numbers)) != len(numbers), "Policy", "a key stands twice")
    for role, key, kind in notes:
        refuse_if(key.kind != kind, "Policy", f"the key {key.name} of {role} is of type {key.kind}, needed is {kind}")
    refuse_if(held.log.name.startswith("countersign-"), "Policy", "the log's origin begins with countersign-")
    for machine, key in value["halt"]["machines"].items():
        refuse_if(SshKey.read(key).algorithm != ED25519, "Policy", f"the key of the machine {machine} is no {ED25519} key")


def _check_rule(what: str, rule: dict, roles: dict, people: dict) -> None:
    for hours in rule["hours"]:
        _check_range(f"from of {what}", hours["from"], 0, hours["until"] - 1)
        _check_range(f"until of {what}", hours["until"], 1, 10_080)
    properties, alone = set(rule["properties"]), rule["approvals"] == 0
    able = {name for name, person in people.items() if can_sign(person, properties, alone)}
    requesters = {name for role in rule["requesters"] for name in roles[role]} & able
    approvers = {name for role in rule["approvers"] for name in roles[role]} & able
    if not any(len(approvers - {name}) >= rule["approvals"] for name in requesters):
        raise Refused("Policy", f"{what} has no requester for whom there are {rule['approvals']} approvers")


@dataclass(frozen=True)
class Call:
    """Somebody who called a halt."""

    key: str  # hash of the blob of the key
    made_under: int  # number of the policy it counts as made under with this key
    is_vendors: bool
    stops: bool = True  # whether it was taken before its key had sixteen others


@dataclass(frozen=True)
class Halt:
    value: dict
    hash: str
    calls: tuple[Call, ...]
    envelope: Envelope

    def call_of(self, key: str) -> Call | None:
        return next((call for call in self.calls if call.key == key), None)

    @property
    def of_all(self) -> bool:
        return "organization" in self.value["scope"]


MOST_WAITING = 4
MOST_ACTIVE = 16  # halts of one key that stop something, besides those of the organization
RECOVERED = b"countersign-recovered/v1"
MOST_HALTS = 80  # of one key that no resume lifted, of the organization, and as many others


@dataclass
class Chain:
    """What a party holds of an organization, begun with its genesis policy."""

    org: str
    policies: list[Held] = field(default_factory=list)
    waiting: list[Held] = field(default_factory=list)  # signed by the recovery set; perhaps the next
    words: dict[str, set[bytes]] = field(default_factory=dict)  # of those that wait, or came so: whose beacons' words are held
    resumes: list[tuple[str, dict]] = field(default_factory=list)
    shown: list[Envelope] = field(default_factory=list)  # of those resumes
    halts: list[Halt] = field(default_factory=list)

    @property
    def newest(self) -> Held:
        return self.policies[-1]

    @property
    def newest_resume(self) -> str:
        return self.resumes[-1][0] if self.resumes else ""

    def policy(self, hash_: str) -> Held | None:
        return next((each for each in self.policies if each.hash == hash_), None)

    def place_of(self, proof: Proof) -> Place:
        """Leaves of a log that replaced another come after all of the other's ([3], "In force")."""
        named = [each for each in self.policies if each.log.name == proof.origin]
        refuse_if(not named, "UnknownLog", f"in the log {proof.origin!r}, which no policy names")
        ending = next((each for each in self.policies if each.place[0] == named[-1].place[0] + 1), None)
        if ending and proof.index >= ending.value["log"]["old_size"]:
            raise Refused("ReplacedLog", f"leaf {proof.index} of a log that was replaced at {ending.value['log']['old_size']}")
        return (named[-1].place[0], proof.index)

    def while_in_use(self, proof: Proof) -> Chain:
        """The chain as it was while the log of the proof was in use."""
        log = next(each.place[0] for each in reversed(self.policies) if each.log.name == proof.origin)
        before = copy(self)
        before.policies = [each for each in self.policies if each.place[0] <= log]
        return before

    def in_force_at(self, place: Place) -> Held:
        """The newest policy whose own leaf stands before `place`."""
        before = [each for each in self.policies if each.place < place]
        refuse_if(not before, "UnknownSigners", f"no policy was in force at leaf {place[1]}")
        return before[-1]

    def check_logged(self, proof: Proof, entry: bytes, force: Held) -> int:
        """Logged, by log and witnesses of the policy in force at the leaf or of a later one. Gives the time of the proof."""
        refusal = None
        for each in self.policies[force.number - 1 :]:
            try:
                return logged_at(proof, entry, each.log, each)
            except Refused as refused:
                refusal = refusal or refused
        raise refusal

    def check_in_newest_log(self, envelope: Envelope) -> int:
        """In the newest policy's log, by its own witnesses. Gives the time of the proof."""
        return logged_at(envelope.proof, envelope.entry(self.org), self.newest.log, self.newest)

    def take(self, envelope: Envelope) -> str:
        """Take a policy, resume or halt: `taken`, `waits`, `moved`, `lifted` or `known`. What is refused changes nothing."""
        takes = {"policy": self.take_policy, "resume": self.take_resume, "halt": self.take_halt}
        refuse_if(envelope.kind not in takes, "Statement", f"a {envelope.kind} is no news")
        if envelope.hash in [each.hash for each in self.policies + self.waiting]:
            return self.move(envelope)
        held = [hash_ for hash_, _ in self.resumes]
        return "known" if envelope.hash in held else takes[envelope.kind](envelope)

    def read(self, envelope: Envelope, judges: list[Held]) -> dict:
        """Its text, after a signature by somebody whom one of `judges` knows; of this organization."""
        refuse_if(not is_known(envelope, judges), "UnknownSigners", f"a {envelope.kind} signed by nobody known")
        value = read_text(envelope.kind, envelope.text)
        refuse_if(value["org"] != self.org, "Organization", f"a {envelope.kind} of {value['org']}, this is {self.org}")
        return value

    def take_policy(self, envelope: Envelope) -> str:
        if not self.policies:
            return self.put_in_force(self.follow(envelope, None)[0])
        new, decided = self.follow(envelope, self.newest)
        keys = [each.log for each in self.policies if each.log.name == new.log.name]
        refuse_if(keys and new.log != self.newest.log, "UsedLog", f"an earlier policy names the log {new.log.name!r}")
        if decided:
            self.words.pop(new.hash, None)
            return self.put_in_force(new)
        refuse_if(len(self.waiting) >= MOST_WAITING, "TooManyWait", f"{len(self.waiting)} policies wait already")
        self.waiting, self.words[new.hash] = [*self.waiting, new], set()
        return "waits"

    def follow(self, envelope: Envelope, before: Held | None) -> tuple[Held, bool]:
        """A policy that follows `before`, and whether its quorum signed it; otherwise its recovery set did."""
        if not before:
            refuse_if("org-" + envelope.hash != self.org, "Organization", f"the genesis policy is {envelope.hash}, this is {self.org}")
            value = read_text("policy", envelope.text)
            later = value["org"] or value["number"] != 1 or value["previous"]
            refuse_if(later, "Policy", "a genesis policy with organization, predecessor or another number than 1")
            return self._judge_policy(envelope, value, None)
        value = self.read(envelope, [before])
        follows = before.hash in value["previous"]
        refuse_if(not follows, "NotNext", f"it follows {value['previous']}, the newest held is {before.hash}")
        refuse_if(value["number"] != before.number + 1, "Number", f"number {value['number']} after {before.number}")
        return self._judge_policy(envelope, value, before)

    def _judge_policy(self, envelope: Envelope, value: dict, before: Held | None) -> tuple[Held, bool]:
        """Usable; signed by the quorums of both, or by the recovery set for the old one's; in the log that the new one names,
        cosigned by the old one's witnesses."""
        check_usable(value)
        moved = before and NoteKey.read(value["log"]["key"]).name != before.log.name
        log = before.place[0] + bool(moved) if before else 0
        new = Held(value, envelope.hash, self.org, (log, envelope.proof.index))
        decided = not before or self._is_decided(envelope, before)
        waits = not decided and 0 < before.value["recovery"]["need"] <= recovering(envelope, before)
        for judge in (new,) if waits or not before else (before, new):
            check_quorum(envelope, judge, "policy")
        logged_at(envelope.proof, envelope.entry(self.org), new.log, before or new)
        return new, decided

    @staticmethod
    def _is_decided(envelope: Envelope, policy: Held) -> bool:
        with suppress(Refused):
            return bool(check_quorum(envelope, policy, "policy"))
        return False

    def move(self, envelope: Envelope) -> str:
        """A policy that is held, perhaps at a leaf that counts before the one kept ([3], "In force")."""
        kept = next(each for each in self.policies + self.waiting if each.hash == envelope.hash)
        waits, recovered = kept in self.waiting, kept.hash in self.words
        before = self.policies[kept.number - 2] if kept.number > 1 else None
        try:
            new, decided = self.follow(envelope, before)
        except Refused:
            return "known"
        if waits and decided:
            return self.take_policy(envelope)
        instead = recovered and decided
        if not (decided or recovered) or not (instead or new.place < kept.place):
            return "known"
        if waits:
            self.waiting = [new if each is kept else each for each in self.waiting]
            return "moved"
        if instead:
            del self.words[new.hash]
        self.policies[kept.number - 1] = new
        self.judge_again()
        return "moved"

    def take_word(self, note: Note) -> str:
        """A recovered note: beacons' word that a policy of the recovery set has waited its time ([3], "A recovered note")."""
        said = re.fullmatch(RECOVERED + rb"\n(org-[0-9a-f]{64})\npolicy ([0-9a-f]{64})\nafter ([0-9a-f]{64})\n", note.text)
        refuse_if(not said, "Lines", "not a recovered note")
        org, policy, after = (each.decode() for each in said.groups())
        refuse_if(org != self.org, "Organization", f"a recovered note of {org}, this is {self.org}")
        waits, taken = next((each for each in self.waiting if each.hash == policy), None), self.policy(policy)
        refuse_if(waits is None and taken is None, "NotWaiting", f"the policy {policy} neither waits nor is in force")
        if policy not in self.words:
            return "known"
        before = self.newest if waits else self.policies[taken.number - 2]  # number 1 stands at 0
        refuse_if(after != before.hash, "NotNext", f"in the place of one after {after}, here it follows {before.hash}")
        by = {key.raw for key in before.note_keys("beacons") if note.is_signed_by(key)}
        refuse_if(not by, "UnknownSigners", f"a recovered note signed by no beacon of policy {before.number}")
        new, self.words[policy] = by - self.words[policy], by | self.words[policy]
        if waits and len(self.words[policy]) >= before.value["beacons"]["need"]:
            self.put_in_force(waits)
        return "taken" if new else "known"

    def put_in_force(self, policy: Held) -> str:
        """The next one; whatever else waited to be it is forgotten."""
        self.policies.append(policy)
        self.waiting, self.words = [], {hash_: by for hash_, by in self.words.items() if self.policy(hash_)}
        self.judge_again()
        return "taken"

    def judge_again(self) -> None:
        """Whatever is held, by the policies held, in the order in which it was taken ([3], "Judged again")."""
        shown, self.resumes, self.shown = self.shown, [], []
        for envelope in shown:
            with suppress(Refused):
                self.take_resume(envelope)
        halts, self.halts = self.halts, []
        for halt in halts:
            with suppress(Refused):
                again, stopped = self.judge_halt(halt.envelope), any(call.stops for call in halt.calls)
                calls = [replace(call, stops=getattr(halt.call_of(call.key), "stops", stopped)) for call in again.calls]
                self.halts.append(replace(again, calls=tuple(calls)))

    def take_resume(self, envelope: Envelope) -> str:
        """Under the policy that it names, if that is the newest or the next one names it ([3], "A resume")."""
        value = self.read(envelope, self.policies)
        policy = self.policy(value["policy"])
        if policy is None:
            raise Refused("UnknownPolicy", f"made under {value['policy']}, which is not held")
        after = self.policies[policy.number] if policy is not self.newest else None  # number 1 stands at 0
        refuse_if(after and envelope.hash not in after.value["resumes"], "NotNamed", f"policy {policy.number + 1} does not name it")
        if self.newest_resume not in (value["previous"] or [""]):
            raise Refused("NotNext", f"it follows {value['previous']}, the newest held is {self.newest_resume or 'none'}")
        check_quorum(envelope, policy, "resume")
        self.place_of(envelope.proof)
        self.check_logged(envelope.proof, envelope.entry(self.org), policy)
        self.resumes.append((envelope.hash, value))
        self.shown.append(envelope)
        return "taken"

    def take_halt(self, envelope: Envelope) -> str:
        """On sight: without proof, without Clear. Of one that is held, the signature of somebody else who may halt."""
        known = next((each for each in self.halts if each.hash == envelope.hash), None)
        if known and not any(self._call(signature, envelope, each) for signature in envelope.signatures for each in self.policies):
            return "known"
        halt = self.judge_halt(known.envelope.joined(envelope) if known else envelope)
        if known and all(known.call_of(call.key) for call in halt.calls):
            return "known"
        calls = [known and known.call_of(call.key) or self._counted(halt, call) for call in halt.calls]
        halt = replace(halt, calls=tuple(calls))
        if self.is_lifted(halt):
            return "lifted"
        kept = min(len(self._alike(halt, call.key)) for call in halt.calls)
        refuse_if(kept >= MOST_HALTS, "TooManyHalts", f"{kept} halts by one key are held")
        self.halts = [each for each in self.halts if each is not known] + [halt]
        return "taken"

    def _counted(self, halt: Halt, call: Call) -> Call:
        """Whether it stops something by this key, of which sixteen others may."""
        others = [self._active_call(each, call.key) for each in self.halts if each.hash != halt.hash]
        return replace(call, stops=halt.of_all or sum(others) < MOST_ACTIVE)

    def _active_call(self, halt: Halt, key: str) -> bool:
        call = halt.call_of(key)
        return bool(call and call.stops) and not self._is_lifted_by_hash(halt.hash) and not self._is_lifted_by_key(call)

    def _alike(self, halt: Halt, key: str) -> list[Halt]:
        others = [each for each in self.halts if each.hash != halt.hash and each.of_all == halt.of_all]
        return [each for each in others if each.call_of(key) and not self.is_lifted(each)]

    def judge_halt(self, envelope: Envelope) -> Halt:
        """Who halts, each by the policy that it names, where their key may halt, else by the oldest where it may; a vendor's by the
        newest. Everybody who may and signed calls it."""
        if not any(self._call(signature, envelope, policy) for signature in envelope.signatures for policy in self.policies):
            raise Refused("NotAHalter", "signed by nobody who may halt under a policy held")
        value = read_text("halt", envelope.text)
        named = [policy for policy in self.policies if policy.hash == value["policy"]]
        of_vendor = not (value["org"] or value["policy"])
        judges = [self.newest] if of_vendor else named + self.policies
        found = [[call for each in judges if (call := self._call(signature, envelope, each))] for signature in envelope.signatures]
        calls = [first for first, *_ in filter(None, found)]
        refuse_if(not calls, "NotAHalter", "a vendor's halt, signed by nobody who may halt under the newest policy")
        vendors, own = [call for call in calls if call.is_vendors], [call for call in calls if not call.is_vendors]
        if vendors and (of_vendor or not own):
            self._check_vendors(value)
            own = vendors
        elif value["org"] != self.org:
            raise Refused("Organization", f"a halt of {value['org'] or 'none'}, this is {self.org}")
        return Halt(value, envelope.hash, tuple(own), envelope)

    def _check_vendors(self, value: dict) -> None:
        if value["org"] or value["policy"] or "component" not in value["scope"]:
            raise Refused("VendorScope", f"a vendor's halt of {value['scope']}, of {value['org'] or 'no organization'}")
        obeyed = self.newest.value["vendor"]["halts"]
        refuse_if(obeyed != "auto", "VendorHalts", f"a vendor's halt, which the newest policy has on {obeyed}")

    @staticmethod
    def _call(signature: Signature, envelope: Envelope, policy: Held) -> Call | None:
        """What this signature is, if it verifies by a key that may halt under the policy."""
        people = policy.members(policy.value["halt"]["roles"])
        own = [key for name, key, _ in policy.people_keys() if name in people]
        own += [SshKey.read(each) for each in policy.value["halt"]["machines"].values()]
        vendors = [SshKey.read(each) for each in policy.value["vendor"]["keys"]]
        key = next((each for each in own + vendors if each.blob == signature.key_blob), None)
        if key is None or shown_by(envelope, policy, key) is None:
            return None
        return Call(hex256(key.blob), policy.number, key in vendors)

    def active_halts(self, named: set[str]) -> list[Halt]:
        """Those that no resume has ended; of what one key called beyond sixteen only those that Clears which count name."""
        return [each for each in self.halts if self._stops(each, each.hash in named)]

    def _stops(self, halt: Halt, named: bool) -> bool:
        lifted = self._is_lifted_by_hash(halt.hash)
        return not lifted and any((call.stops or named) and not self._is_lifted_by_key(call) for call in halt.calls)

    def is_lifted(self, halt: Halt) -> bool:
        return not self._stops(halt, True)

    def _is_lifted_by_hash(self, halt: str) -> bool:
        return any(halt in resume["lifts"].get("halts", []) for _, resume in self.resumes)

    def _is_lifted_by_key(self, call: Call) -> bool:
        for _, resume in self.resumes:
            keys = {hex256(SshKey.read(each).blob) for each in resume["lifts"].get("keys", [])}
            if not call.is_vendors and call.key in keys and call.made_under <= self.policy(resume["policy"]).number:
                return True
        return False

    def judges(self, value: dict) -> list[Held]:
        """The policies under which a job or advance must hold: the one that it names, then the newest."""
        named = self.policy(value["policy"])
        if named is None:
            raise Refused("UnknownPolicy", f"it names policy {value['policy']}, which is not held")
        return [named] if named is self.newest else [named, self.newest]

    def check_not_cut(self, envelope: Envelope, value: dict, judges: list[Held]) -> None:
        """No resume cuts it off, counting who signed under any of `judges` ([3], "A cut")."""
        order = [hash_ for hash_, _ in self.resumes]
        if value["resume"] and value["resume"] not in order:
            raise Refused("UnknownResume", f"it names the resume {value['resume']}, which is not held")
        people = {each.name for policy in judges for each in signers(envelope, policy)}
        named = order.index(value["resume"]) + 1 if value["resume"] else 0
        for hash_, resume in self.resumes[named:]:
            all_ = "all" in resume["cuts"] or "keys" in resume["lifts"] or len(resume["previous"]) > 1
            cuts = all_ or people & set(resume["cuts"].get("people", []))
            refuse_if(cuts and envelope.hash not in resume["keeps"], "Cut", f"the resume {hash_} cuts it")


@dataclass(frozen=True)
class Device:
    """Who a device is, by the statement that enrolled it: the only source of its labels."""

    ident: str
    key: NoteKey
    site: str
    labels: dict
    enrollment: str
    place: Place  # of its own leaf: the enrollment's, or its join's
    seq: int = 0
    retired_by: str = ""

    @property
    def all_labels(self) -> dict:
        return {**self.labels, "site": self.site}

    def fits(self, labels: dict) -> bool:
        """Whether all of `labels` are mine, the site under `site`."""
        return all(self.all_labels.get(name) == value for name, value in labels.items())


def check_enrollment(chain: Chain, envelope: Envelope) -> dict:
    """An enrollment is judged under the policy in force at its leaf; a later policy's witnesses may have cosigned."""
    refuse_if(envelope.kind != "enroll", "NotEnrolled", f"a {envelope.kind} is no enrollment")
    policy = chain.in_force_at(chain.place_of(envelope.proof))
    chain.check_logged(envelope.proof, envelope.entry(chain.org), policy)
    value = chain.read(envelope, [policy])
    check_quorum(envelope, policy, "enroll")
    what = next(iter(value["what"].values()))
    refuse_if("site" in what.get("labels", {}), "NotEnrolled", "a label called site")
    return value["what"]


def enrolled_directly(chain: Chain, envelope: Envelope) -> Device:
    what = check_enrollment(chain, envelope)
    refuse_if("device" not in what, "NotEnrolled", "an enrollment of no single device")
    return _device_of(chain, envelope, what["device"])


def _device_of(chain: Chain, envelope: Envelope, device: dict) -> Device:
    key, place = device_key(device["key"]), chain.place_of(envelope.proof)
    return Device(key.name, key, device["site"], device["labels"], envelope.hash, place, device["seq"])


def enrolled_anew(chain: Chain, held: Device, envelope: Envelope) -> Device:
    """[3], "Enrolled anew": what becomes of the device by a later enrollment, or by its end."""
    refuse_if(held.retired_by, "Retired", f"this device was retired by {held.retired_by}")
    what = check_enrollment(chain, envelope)
    refuse_if("batch" in what, "NotThat", "a batch is neither the enrollment of one device nor the end of one")
    ident = what["retire"]["device"] if "retire" in what else device_key(what["device"]["key"]).name
    refuse_if(ident != held.ident, "OtherDevice", f"it is for {ident}, this device is {held.ident}")
    if "retire" in what:
        return replace(held, retired_by=envelope.hash)
    after, previous = _device_of(chain, envelope, what["device"]), what["device"]["previous"]
    if after.seq <= held.seq or previous != held.enrollment:
        raise Refused("NotNext", f"enrollment {after.seq} follows {previous or 'none'}, held is {held.seq}, {held.enrollment}")
    check_labels(envelope, chain.in_force_at(after.place), held, after)
    return after


def check_labels(envelope: Envelope, policy: Held, before: Device, after: Device) -> None:
    """Who relabels a device must be enough for each rule that reads what changes, where it was and where it will be."""
    names = before.all_labels.keys() | after.all_labels.keys()
    changed = {name for name in names if before.all_labels.get(name) != after.all_labels.get(name)}
    signed = [each for each in signers(envelope, policy) if not each.same_origin]
    for number, rule in enumerate(policy.value["rules"], 1):
        if changed & set(rule["labels"]) and (before.fits(rule["labels"]) or after.fits(rule["labels"])):
            people = {each.name for each in signed if set(rule["properties"]) <= each.shows}
            approvers = people & policy.members(rule["approvers"])
            if not any(len(approvers - {name}) >= rule["approvals"] for name in people & policy.members(rule["requesters"])):
                raise Refused("Relabels", f"it changes {sorted(changed)}, which rule {number} reads: too few signed")


def device_key(text: str) -> NoteKey:
    """A device's key is named by its device id."""
    NOTE_KEY(text, 0)
    key = NoteKey.read(text)
    if key.kind != ED25519_NOTE or key.name != key.device_id():
        raise Refused("NotEnrolled", f"the key of {key.device_id()} is named {key.name}")
    return key


def enrolled_by_join(chain: Chain, envelope: Envelope, note: Note, proof: Proof) -> Device:
    """[3], "Join": signed by the token's key and by the device's, in the log before the batch ended."""
    what = check_enrollment(chain, envelope)
    refuse_if("batch" not in what, "NotEnrolled", "a join to what is no batch")
    batch, lines = what["batch"], note.fields()
    starts = ["countersign-join/v1", chain.org, f"batch {envelope.hash}"]
    if len(lines) != 5 or lines[:3] != starts or not lines[3].startswith("device ") or not lines[4].startswith("host "):
        raise Refused("NotEnrolled", f"not a join to batch {envelope.hash}")
    LINE(lines[4].removeprefix("host "), 0)
    key = device_key(lines[3].removeprefix("device "))
    for who, each in (("token", NoteKey.read(batch["token"])), ("device", key)):
        refuse_if(not note.is_signed_by(each), "NotEnrolled", f"a join not signed by the {who}'s key")
    place = chain.place_of(proof)
    time = chain.check_logged(proof, log_entry(chain.org, "join", sha256(note.text), b""), chain.in_force_at(place))
    refuse_if(time >= batch["until"], "NotEnrolled", f"a join logged at {time}, the batch ended at {batch['until']}")
    return Device(key.name, key, batch["site"], batch["labels"], envelope.hash, place)


# ---------------------------------------------------------------------------------------------------------------------
# [5] Clears and what time it is.
# ---------------------------------------------------------------------------------------------------------------------

SPREAD = 60  # seconds within which the times of Clears must lie
LEAP = 86_400  # seconds by which they may be later than all that the device knows by itself


@dataclass(frozen=True)
class Clocks:
    """A reading of both clocks, in milliseconds. The boot clock is the one that counts sleep."""

    boot: int
    wall: int

    def since(self, earlier: Clocks) -> tuple[int, int]:
        """The smaller and the larger of both differences; a clock that went back counts 0."""
        spans = (max(0, self.boot - earlier.boot), max(0, self.wall - earlier.wall))
        return min(spans), max(spans)


@dataclass(frozen=True)
class ShownClear:
    """A Clear as it came: the note, which challenge it answers and when that was drawn, and the path to its root."""

    note: Note
    challenge: bytes
    drawn: Clocks
    index: int
    size: int
    path: list[bytes]


@dataclass(frozen=True)
class Counted:
    name: str
    beacon: bytes
    time: int
    halts: tuple[str, ...]
    drawn: Clocks


def count_clear(shown: ShownClear, chain: Chain, now: Clocks) -> Counted:
    """One Clear, if it counts ([5], "Enough")."""
    policy, lines = chain.newest, shown.note.fields()
    beacon = next((key for key in policy.note_keys("beacons") if shown.note.is_signed_by(key)), None)
    refuse_if(beacon is None, "NotFresh", "a Clear signed by no beacon of the newest policy")
    heads = ["countersign-clear/v1", chain.org, "time ", "root ", "policy ", "resume "]
    if len(lines) < 6 or lines[:2] != heads[:2] or not all(line.startswith(head) for line, head in zip(lines, heads)):
        raise Refused("NotFresh", f"not a Clear of {chain.org}")
    time, root, named_policy, resume = (line.split(" ", 1)[1] for line in lines[2:6])
    halts = [line.removeprefix("halt ") for line in lines[6:]]
    if [f"halt {each}" for each in halts] != lines[6:] or len(halts) > 64 or not ascending(halts):
        raise Refused("NotFresh", "a Clear whose halts are more than 64 or not ascending")
    if root_by_path(leaf_hash(shown.challenge), shown.index, shown.size, shown.path).hex() != root:
        raise Refused("NotFresh", f"no path from my challenge to {root}")
    check_age(shown.drawn, policy, now, "NotFresh")
    if named_policy != policy.hash or resume != (chain.newest_resume or "none"):
        raise Refused("NotFresh", f"a Clear for policy {named_policy} and resume {resume}")
    held = {halt.hash for halt in chain.halts if not chain.is_lifted(halt)}
    for each in halts:
        refuse_if(each not in held, "NotFresh", f"a Clear that names the halt {each}, whose text is not here")
    return Counted(beacon.name, beacon.raw, decimal(time), tuple(halts), shown.drawn)


def check_age(drawn: Clocks, policy: Held, now: Clocks, code: str) -> None:
    """A challenge is good while it is younger than the lifetime by the faster of both clocks."""
    age, lifetime = now.since(drawn)[1], 1000 * policy.value["beacons"]["lifetime"]
    refuse_if(age >= lifetime, code, f"the challenge is {age} ms old, it is good for {lifetime} ms")


def taken_of(counted: list[Counted], need: int) -> list[Counted]:
    """Of the Clears that count the largest set within 60 s, of several the earliest ([5])."""
    best: list[Counted] = []
    for start in sorted({each.time for each in counted}):
        together = [each for each in counted if start <= each.time <= start + SPREAD]
        best = together if len(together) > len(best) else best
    refuse_if(len(best) < need, "NotFresh", f"Clears of {len(best)} beacons count, {need} are needed")
    return best


def window_of(taken: list[Counted], arrived: Clocks, now: Clocks, remembered: int) -> tuple[int, int]:
    """`lo` and `hi` ([5], "What time it is")."""
    longest = max(now.since(each.drawn)[1] for each in taken)
    lo = min(each.time for each in taken) + now.since(arrived)[0] // 1000
    hi = max(each.time for each in taken) - (-longest // 1000)
    return max(lo, remembered), max(hi, remembered)


# ---------------------------------------------------------------------------------------------------------------------
# [6] The acceptance rule.
# ---------------------------------------------------------------------------------------------------------------------

MINUTES_OF_A_WEEK = 10_080
THURSDAY = 3 * 1_440  # 1970-01-01 was a Thursday; minutes count from Monday


def minute_of_week(time: int) -> int:
    return (time // 60 + THURSDAY) % MINUTES_OF_A_WEEK


def is_below(version: str, bound: str) -> bool:
    """Versions compare as numbers between dots, from the left; what is no such version counts as below."""
    if not all(re.fullmatch(r"[0-9]+(\.[0-9]+)*", each, re.ASCII) for each in (version, bound)):
        return True
    return [int(part) for part in version.split(".")] < [int(part) for part in bound.split(".")]


def kinds_of(job: dict) -> set[str]:
    return {next(iter(step)) for step in job["steps"]} | ({"finish"} & {job["on_halt"]})


def scripts_of(job: dict) -> set[str]:
    """The hashes of its scripts: of the file given to the interpreter, each line with a line feed ([3])."""
    found = set()
    for step in job["steps"]:
        lines = step.get("script", {}).get("run", {}).get("lines")
        if lines:
            found.add(hex256("".join(line + "\n" for line in lines["lines"]).encode()))
    return found


def rows_that_fit(job: dict, policy: Held, device: Device) -> list[dict]:
    """The rules for this job on this device ([6], "Rules")."""
    kinds = kinds_of(job)
    return [rule for rule in policy.value["rules"] if kinds & set(rule["kinds"]) and device.fits(rule["labels"])]


# The classes that a policy can guard, and the names of their units, without type and instance ([3], "Guarded").
GUARDED_CLASSES = {
    "agent": "countersign-agent",
    "antivirus": "cbagentd clamav-clamonacc clamav-daemon clamav-freshclam clamd ds_agent eea falcon-sensor freshclam kesl mdatp "
    "sentinelone sophos-spl traps_pmd wazuh-agent",
    "backup": "acronis_mms bacula-fd bareos-fd bareos-filedaemon borgbackup borgmatic burp-client duplicati restic restic-backup "
    "rsnapshot urbackupclientbackend veeamservice",
    "shadow-copies": "btrbk sanoid snapper-boot snapper-cleanup snapper-timeline snapperd zfs-auto-snapshot-daily "
    "zfs-auto-snapshot-frequent zfs-auto-snapshot-hourly zfs-auto-snapshot-monthly zfs-auto-snapshot-weekly",
}


def stem_of(unit: str) -> str:
    return unit.rsplit(".", 1)[0].split("@", 1)[0]


def is_unit(word_: str) -> bool:
    try:
        UNIT(word_, 0)
    except Refused:
        return False
    return True


def guards(word_: str, unit: str) -> bool:
    """Whether a word of `guarded` covers a unit: a class that has its stem, or a unit with that stem ([3], "Guarded")."""
    if word_ in GUARDED_CLASSES:
        return stem_of(unit) in GUARDED_CLASSES[word_].split()
    return is_unit(word_) and stem_of(word_) == stem_of(unit)


def check_guarded(job: dict, policy: Held) -> None:
    """No step takes away what the policy guards ([6], "Rules")."""
    for step in job["steps"]:
        asked = step.get("service", {"action": "status"})
        if asked["action"] in ("stop", "restart", "disable"):
            for word_ in policy.value["guarded"]:
                if guards(word_, asked["unit"]):
                    raise Refused("Guarded", f"{asked['action']} of {asked['unit']}: policy {policy.number} guards {word_}")


def check_rules(job: dict, policy: Held, device: Device, signed: list[Signer], halted: set[str]) -> None:
    """Nothing guarded is taken away, each kind is fit by a row, every row that fits is met by signers who are not halted."""
    check_guarded(job, policy)
    rows = rows_that_fit(job, policy, device)
    for kind in sorted(kinds_of(job)):
        if not any(kind in rule["kinds"] for rule in rows):
            raise Refused("NoRule", f"no rule of policy {policy.number} fits {kind} on this device")
    for rule in rows:
        check_row(job, rule, policy, [each for each in signed if each.name not in halted])


def check_row(job: dict, rule: dict, policy: Held, signed: list[Signer]) -> None:
    requester, requesters, approvers = job["requester"], policy.members(rule["requesters"]), policy.members(rule["approvers"])
    under = f"policy {policy.number}"
    alone = rule["approvals"] == 0
    counted = [each for each in signed if set(rule["properties"]) <= each.shows and not (alone and each.same_origin)]
    refuse_if(requester not in requesters, "NotARequester", f"{requester} may not ask for this under {under}")
    if requester not in {each.name for each in counted}:
        raise Refused("NotSignedByRequester", f"not signed by its requester {requester} as {under} asks")
    approving = {each.name for each in counted if each.name in approvers} - {requester}
    if len(approving) < rule["approvals"]:
        raise Refused("Approvals", f"approved by {len(approving)}, {under} asks for {rule['approvals']}")
    if all(each.same_origin for each in counted if each.name in approving | {requester}):
        raise Refused("SameOrigin", "every signature that counts is by a passkey of the server's own origin")
    if max(1, len(job["waves"])) < rule["waves"]:
        raise Refused("TooFewWaves", f"{len(job['waves'])} waves, {under} asks for {rule['waves']}")


LEAST_REPEAT = 10


def check_job(job: dict, policy: Held) -> None:
    """Check 5, what a job may be, whatever the time."""
    life, steps = job["not_after"] - job["not_before"], job["steps"]
    if not 0 < life <= policy.value["limits"]["life"]:
        raise Refused("Job", f"a life of {life} s, the policy allows {policy.value['limits']['life']}")
    if not 1 <= len(steps) <= 16 or any(asked["timeout"] < 1 for step in steps for asked in step.values()):
        raise Refused("Job", f"{len(steps)} steps, from 1 to 16 may be, each with a timeout")
    refuse_if(job["halt_above"] > 10_000, "Job", f"it is halted when more than {job['halt_above']} hundredths of a percent failed")
    refuse_if(0 < job["repeat"] < LEAST_REPEAT, "Job", f"it repeats each {job['repeat']} s, at least {LEAST_REPEAT} may be")
    who, soaks = [each["who"] for each in job["waves"]], [each["soak"] for each in job["waves"]]
    shares = [0] + [each["share"] for each in who if "share" in each]
    climbing = all(a < b for a, b in zip(shares, shares[1:]))
    if who and (who[-1].get("share") != 10_000 or not climbing or {"labels": {}} in who) or soaks != sorted(soaks):
        raise Refused("Job", f"the waves {who} with soaks {soaks}")


def check_time(job: dict, rows: list[dict], lo: int, hi: int) -> None:
    """Both bounds of the time must lie within the job's life, and within one of the hours of every row that fits ([6], 5)."""
    refuse_if(lo < job["not_before"], "NotYet", f"not before {job['not_before']}, it may still be {lo}")
    refuse_if(hi >= job["not_after"], "Expired", f"not after {job['not_after']}, it may be {hi} already")
    for rule in rows:
        first, last = minute_of_week(lo), minute_of_week(hi)
        if rule["hours"] and not any(each["from"] <= first <= last < each["until"] for each in rule["hours"]):
            raise Refused("OutsideHours", f"no hours of a rule hold all of minute {first} to {last} of the week")


def check_target(job: dict, named: Held, device: Device, shown: tuple[int, list[bytes]] | None) -> None:
    """Check 9. A list's leaves are the raw device ids, ascending; `shown` is the place and path of mine.

    `as_of` is a size of the log of the policy that the job names.
    """
    if "list" in job["targets"]:
        listed = job["targets"]["list"]
        leaf = leaf_hash(bytes.fromhex(device.ident.removeprefix("dev-")))
        index, path = shown or (listed["count"], [])
        with told_as("NotATarget"):
            root = root_by_path(leaf, index, listed["count"], path).hex()
        refuse_if(root != listed["root"], "NotATarget", f"no path from {device.ident} to {listed['root']}")
        return
    wanted = job["targets"]["labels"]
    refuse_if(not device.fits(wanted["labels"]), "NotLabelled", f"the labels {wanted['labels']} are not all of this device")
    if device.place >= (named.place[0], wanted["as_of"]) and not wanted["joins"]:
        raise Refused("EnrolledLater", f"enrolled at leaf {device.place[1]}, the job is for those before {wanted['as_of']}")


def wave_of(job: dict, job_hash: str, device: Device) -> tuple[int, int]:
    """The first wave that takes a device, from 0, and its soak ([6], "Waves")."""
    drawn = sha256(f"countersign-wave/v1\n{job_hash}\n{device.ident}\n".encode())
    place = int.from_bytes(drawn[:8], "big") * 10_000 // 2**64
    for number, wave in enumerate(job["waves"]):
        who = wave["who"]
        if place < who["share"] if "share" in who else device.fits(who["labels"]):
            return number, wave["soak"]
    return 0, 0


def needs_advance(job: dict, number: int, policy: Held) -> bool:
    """Whether a person must set wave `number`, from 0, free."""
    listed = job["targets"].get("list")
    return number > 0 and (listed is None or listed["count"] > policy.value["limits"]["auto_waves_max"])


@dataclass(frozen=True)
class Asked:
    """A job that was read, on a device, and whom halts hold: what an advance is judged by."""

    job: dict
    hash: str
    device: Device
    halted: frozenset[str]


def check_advances(asked: Asked, number: int, chain: Chain, advances: list[Envelope | Refused]) -> Envelope:
    """One that holds, or the fault of the first that is for this wave ([6], "Waves")."""
    fault = None
    for each in advances:
        try:
            if isinstance(each, Refused):
                raise each
            if check_advance(each, asked, number, chain):
                return each
        except Refused as refused:
            fault = fault or Refused("Advance", f"wave {number + 1} waits for an advance that holds: {refused.sentence}")
    raise fault or Refused("WaveNeedsAdvance", f"wave {number + 1} waits for a person to start it")


def check_advance(envelope: Envelope, asked: Asked, number: int, chain: Chain) -> bool:
    """Whether it is for this job and wave; if so it holds, or is refused."""
    refuse_if(envelope.kind != "advance", "Statement", f"a {envelope.kind} is no advance")
    value = chain.read(envelope, chain.policies)
    if (value["job"], value["wave"]) != (asked.hash, number + 1):
        return False
    judges = chain.judges(value)
    chain.check_not_cut(envelope, value, judges)
    for policy in judges:
        people = check_quorum(envelope, policy, "promote", asked.halted)
        asks = any(rule["approvals"] for rule in rows_that_fit(asked.job, policy, asked.device))
        alone = asks and people == {asked.job["requester"]}
        refuse_if(alone, "Quorum", f"signed by {asked.job['requester']} alone, who asked for the job")
    chain.check_in_newest_log(envelope)
    return True


@dataclass(frozen=True)
class Local:
    """What the device knows by itself: its clocks, the floor of its time, the agent, and its ledger."""

    drawn: Clocks
    arrived: Clocks
    now: Clocks
    floor: int = 0
    version: str = "0"
    running: int = 0
    receipts: int = 0
    disk_full: bool = False
    ledger: tuple[tuple[int, int, str], ...] = ()  # steps of this job that were accepted: occurrence, number, how it is with it


COMPONENT = "countersign-agent"
MOST_RECEIPTS = 4_096


def covers(halt: Halt, job: dict, job_hash: str, version: str) -> bool:
    """Whether a halt stops this job on this agent, whoever signed it."""
    ((scope, what),) = halt.value["scope"].items()
    if scope == "component":
        return what["name"] == COMPONENT and is_below(version, what["below"])
    if scope == "script":
        return what in scripts_of(job)
    return scope == "organization" or what == {"job": job_hash, "person": job["requester"]}[scope]


def occurrence_at(job: dict, lo: int) -> int:
    """Which time of a job that repeats is due ([6], "Occurrences")."""
    return (lo - job["not_before"]) // job["repeat"] if job["repeat"] else 0


def check_once(job: dict, ledger: tuple[tuple[int, int, str], ...], occurrence: int) -> tuple[int, int]:
    """Check 8. Gives the occurrence, or the last if that can go on, and its first step that was not accepted yet, from 0."""
    for other, _, state in ledger:
        refuse_if(other > occurrence, "Passed", f"occurrence {occurrence} has passed, {other} was accepted before")
        refuse_if(other < occurrence and state == "started", "EarlierRuns", f"{occurrence} has to wait, {other} is still running")
    last, newest, state = max(ledger, default=(0, 0, ""))
    occurrence = last if state == "ended-well" and newest + 1 < len(job["steps"]) else occurrence
    states = {number: state for other, number, state in ledger if other == occurrence}
    for number in range(len(job["steps"])):
        if number not in states:
            return occurrence, number
        if states[number] != "ended-well":
            raise Refused("Again" if states[number] == "started" else "EarlierFailed", f"step {number + 1}: {states[number]}")
    raise Refused("Again", f"step {len(job['steps'])} was accepted before")


def check_budget(policy: Held, local: Local) -> None:
    """Check 11."""
    concurrent = policy.value["limits"]["concurrent"]
    refuse_if(local.running >= concurrent, "Busy", f"{local.running} steps are running, the policy allows {concurrent}")
    refuse_if(local.receipts >= MOST_RECEIPTS, "SpoolFull", f"{local.receipts} receipts wait, no new job above {MOST_RECEIPTS}")
    refuse_if(local.disk_full, "DiskFull", "the disk is full")


def count_clears(clears: list[ShownClear], chain: Chain, local: Local, say) -> list[Counted]:
    """Those that count as of their arrival; a beacon's second counts for nothing."""
    counted: list[Counted] = []
    for number, shown in enumerate(clears, 1):
        try:
            one = count_clear(shown, chain, local.arrived)
            refuse_if(one.beacon in [each.beacon for each in counted], "NotFresh", "its beacon has spoken already")
            counted.append(one)
            say(3, f"Clear {number}: {one.name} at {when(one.time)}, {len(one.halts)} halts")
        except Refused as refused:
            say(3, f"Clear {number} counts for nothing: {refused.sentence}")
    return counted


def silent(_check, _line) -> None: ...


@dataclass(frozen=True)
class Delivery:
    """What came with a job: advances, Clears, and the place of this device in the list of targets."""

    job: Envelope
    advances: list[Envelope | Refused]  # or why one is none
    clears: list[ShownClear]
    target: tuple[int, list[bytes]] | None


def judge(chain: Chain, device: Device, delivery: Delivery, local: Local, say) -> None:
    """Checks 0 to 12 in their order ([6]); check 2 has made `chain`. Raises the first refusal."""
    job = delivery.job
    refuse_if(device.retired_by, "Retired", f"this device was retired by {device.retired_by}")
    newest = chain.newest
    if job.kind != "job" or not is_known(job, chain.policies):
        raise Refused("UnknownSigners", "no signature under the job verifies by a person's key of a policy held")
    value = read_text("job", job.text)
    say(0, f"job {job.hash}: signed by somebody known, canonical text")
    refuse_if(value["org"] != chain.org, "OtherOrganization", f"a job of {value['org']}, this is {chain.org}")
    say(1, f"organization {chain.org}")

    counted = count_clears(delivery.clears, chain, local, say)
    taken = taken_of(counted, newest.value["beacons"]["need"])
    said, known = min(each.time for each in taken), max(local.arrived.wall // 1000, local.floor)
    refuse_if(said > known + LEAP, "NotFresh", f"the Clears leap: it would be {said}, by all that the device knows it is {known}")
    for each in taken:
        check_age(each.drawn, newest, local.now, "Aged")
    lo, hi = window_of(taken, local.arrived, local.now, local.floor)
    say(3, f"{len(taken)} Clears: it is between {when(lo)} and {when(hi)}")

    judges = chain.judges(value)
    active = chain.active_halts({hash_ for each in counted for hash_ in each.halts})
    for halt in active:
        refuse_if(covers(halt, value, job.hash, local.version), "Halted", f"the halt {halt.hash} covers it: {halt.value['scope']}")
    halted = frozenset(halt.value["scope"].get("person", "") for halt in active)
    say(4, f"{len(active)} halts are active, none covers it")

    chain.check_not_cut(job, value, judges)
    check_job(value, newest)
    check_time(value, rows_that_fit(value, newest, device), lo, hi)
    say(5, f"cut by no resume; its life is {when(value['not_before'])} to {when(value['not_after'])}, within hours")

    for policy in judges:
        check_rules(value, policy, device, signers(job, policy), halted)
        say(6, f"policy {policy.number} is met by " + ", ".join(map(str, signers(job, policy))))
    time = chain.check_in_newest_log(job)
    say(7, f"leaf {job.proof.index} of {job.proof.size} in {job.proof.origin}, witnessed {when(time)}")
    occurrence, step = check_once(value, local.ledger, occurrence_at(value, lo))
    say(8, f"step {step + 1} of {len(value['steps'])} was not accepted before in occurrence {occurrence}")
    check_target(value, judges[0], device, delivery.target)
    say(9, f"{device.ident} is a target")
    wave, soak = wave_of(value, job.hash, device)
    starts = max(value["not_before"], time) + soak
    refuse_if(lo < starts, "WaveNotYet", f"wave {wave + 1} starts at {starts}, it may still be {lo}")
    say(10, f"its wave, {wave + 1}, has started")
    if needs_advance(value, wave, newest):
        advance = check_advances(Asked(value, job.hash, device, halted), wave, chain, delivery.advances)
        say(10, f"advance {advance.hash} set it free, signed by " + ", ".join(map(str, signers(advance, newest))))
    check_budget(newest, local)
    say(11, "within the device's budget")


# ---------------------------------------------------------------------------------------------------------------------
# [7] Receipts.
# ---------------------------------------------------------------------------------------------------------------------

RECEIPT_FIELDS = (
    "number", "previous", "job", "occurrence", "step", "verdict", "count", "code", "because", "output", "kept", "dropped", "policy",
    "enroll", "time",
)
RECEIPT_NUMBERS = {"number", "occurrence", "step", "count", "kept", "dropped", "time"}
RECEIPT_HASHES = {"previous", "job", "output"}  # or none
VERDICTS = {"accepted", "refused", "ended", "interrupted"}


@dataclass(frozen=True)
class Receipt:
    """What a device said became of a job."""

    note: Note
    org: str
    device: str
    fields: dict

    @property
    def hash(self) -> str:
        return hex256(self.note.text)

    @property
    def number(self) -> int:
        return self.fields["number"]

    @staticmethod
    def read(data: bytes) -> Receipt:
        note = Note.read(data)
        lines = note.fields()
        refuse_if(len(lines) != 3 + len(RECEIPT_FIELDS) or lines[0] != "countersign-receipt/v1", "Receipt", "not a receipt")
        fields = {}
        for name, line in zip(RECEIPT_FIELDS, lines[3:]):
            head, _, value = line.partition(" ")
            refuse_if(head != name, "Receipt", f"a receipt with {head!r} where {name!r} must stand")
            if name in RECEIPT_NUMBERS:
                fields[name] = decimal(value)
            elif name in ("policy", "enroll") and not re.fullmatch("[0-9a-f]{64}", value):
                raise Refused("Receipt", f"a receipt whose {name} is {value!r:.80}")
            elif name in RECEIPT_HASHES and value != "none" and not re.fullmatch("[0-9a-f]{64}", value):
                raise Refused("Receipt", f"a receipt whose {name} is {value!r:.80}")
            else:
                fields[name] = value
        refuse_if(fields["verdict"] not in VERDICTS, "Receipt", f"a receipt with the verdict {fields['verdict']!r:.40}")
        refuse_if(not re.fullmatch("[a-z_]{1,32}", fields["code"]), "Receipt", f"a receipt whose code is {fields['code']!r:.80}")
        because = fields["because"]
        if len(because) > 500 or because != because.strip(" ") or any(ord(each) not in FREE_CHARACTERS for each in because):
            raise Refused("Receipt", f"a receipt whose reason is no line of free text: {fields['because']!r:.80}")
        return Receipt(note, lines[1], lines[2], fields)


def check_receipts(receipts: list[Receipt], org: str, key: NoteKey) -> None:
    """Of one device: each is signed by it, and they follow each other."""
    for receipt in receipts:
        if (receipt.org, receipt.device) != (org, key.device_id()) or not receipt.note.is_signed_by(key):
            raise Refused("Receipt", f"receipt {receipt.number} is not signed by {key.device_id()}")
    check_sequence(receipts)


def check_sequence(receipts: list[Receipt]) -> None:
    """Numbers rise, and one names the other exactly if it comes next. Others may be missing between two: `missing`."""
    for before, receipt in zip([None, *receipts], receipts):
        number, previous = receipt.number, receipt.fields["previous"]
        refuse_if(number < 1 or (number == 1) != (previous == "none"), "Receipt", f"receipt {number} follows {previous}")
        if before and number == before.number:
            raise Refused("Receipt", f"two receipts have the number {number}: {before.hash} and {receipt.hash}, proof of a clone")
        if before and number < before.number:
            raise Refused("Receipt", f"receipt {number} after receipt {before.number}")
        if before and number == before.number + 1 and previous != before.hash:
            raise Refused("Receipt", f"receipt {number} names {previous}, the one before is {before.hash}, proof of a clone")
        if before and number > before.number + 1 and previous == before.hash:
            raise Refused("Receipt", f"receipt {number} names receipt {before.number} as the one before: a gap in its numbers")


def missing(receipts: list[Receipt]) -> str:
    """The numbers that are not shown, up to the last that is."""
    numbers = sorted({each.number for each in receipts})
    gaps = [(a + 1, b - 1) for a, b in zip([0, *numbers], numbers) if b > a + 1]
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in gaps)


def check_runs(fields: list[dict]) -> list[str]:
    """Of the receipts of one job: nothing ends that was not accepted, or twice. Gives the steps of which no end is shown."""
    open_steps: dict[tuple[int, int], str] = {}
    for each in fields:
        step, name = (each["occurrence"], each["step"]), f"step {each['step'] + 1} of occurrence {each['occurrence']}"
        if each["verdict"] == "accepted":
            refuse_if(step in open_steps, "Receipt", f"{name} was accepted twice")
            open_steps[step] = name
        elif each["verdict"] in ("ended", "interrupted"):
            if not open_steps.get(step):
                says = f"receipt {each['number']} says that {name} {each['verdict']}"
                raise Refused("Receipt", f"{says}, none shows that it was accepted")
            open_steps[step] = ""
    return [name for name in open_steps.values() if name]


def check_batch(chain: Chain, receipt: Receipt, index: int, size: int, path: list[bytes], proof: Proof) -> int:
    """The receipt stands in a batch, and the batch's root in the log ([4]). Gives the time of the proof."""
    root = root_by_path(leaf_hash(receipt.note.text), index, size, path)
    entry = log_entry(chain.org, "receipts", root, b"")
    return chain.check_logged(proof, entry, chain.in_force_at(chain.place_of(proof)))


# ---------------------------------------------------------------------------------------------------------------------
# [8] Evidence bundles.
# ---------------------------------------------------------------------------------------------------------------------


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def read_lines(path: Path) -> list[str]:
    try:
        return read_file(path).decode().split("\n")[:-1]
    except ValueError as error:
        raise Unreadable(f"{path}: not UTF-8") from error


def read_word(path: Path, expression: str) -> str:
    """A file of one line of a certain form."""
    lines = read_lines(path)
    if len(lines) != 1 or not re.fullmatch(expression, lines[0], re.ASCII):
        raise Unreadable(f"{path}: not one line of the form {expression}")
    return lines[0]


def numbered(folder: Path, files: str) -> list[Path]:
    """Files named by a number, in the order of the numbers."""
    paths = list(folder.glob(files))
    for path in paths:
        if not re.fullmatch("[0-9]{1,9}", path.stem, re.ASCII):
            raise Unreadable(f"{path}: not named by a number")
    return sorted(paths, key=lambda path: int(path.stem))


def read_local(path: Path) -> Local:
    """The file `now`: what the device knew by itself."""
    values, ledger = {}, []
    for line in read_lines(path):
        key, _, value = line.partition(" ")
        if key == "step":
            ledger.append(read_step(value, path))
        else:
            values[key] = value
    try:
        times = (Clocks(int(values[f"{at}_boot_ms"]), int(values[f"{at}_wall_ms"])) for at in ("drawn", "arrived", "now"))
        return Local(*times, int(values["floor"]), values["version"], int(values["running"]), int(values["receipts"]),
                     values["disk"] == "full", tuple(ledger))
    except (KeyError, ValueError) as error:
        raise Unreadable(f"{path}: {error}") from error


def read_step(text: str, path: Path) -> tuple[int, int, str]:
    """Of a step that was accepted: which occurrence, which step, and how it is with it."""
    found = re.fullmatch("([0-9]{1,16}) ([0-9]{1,2}) (started|ended-well|failed)", text, re.ASCII)
    if not found:
        raise Unreadable(f"{path}: not a step: {text!r:.80}")
    return int(found[1]), int(found[2]), found[3]


def read_place(path: Path) -> tuple[int, int, list[bytes]]:
    """A line `index <n>`, perhaps one `size <n>`, then a base64 hash a line."""
    lines, numbers = read_lines(path), {"index": -1, "size": 0}
    try:
        for name in numbers:
            if lines and lines[0].startswith(name + " "):
                numbers[name] = decimal(lines.pop(0).removeprefix(name + " "))
        return numbers["index"], numbers["size"], [hash_line(line) for line in lines]
    except Refused as error:
        raise Unreadable(f"{path}: {error}") from error


def read_clears(folder: Path, drawn: Clocks, say) -> list[ShownClear]:
    """Those that are notes at all; without a challenge there is nothing they could answer."""
    if not (folder / "challenge").exists():
        return []
    challenge, clears = bytes.fromhex(read_word(folder / "challenge", "[0-9a-f]{64}")), []
    for path in numbered(folder, "clears/*.clear"):
        try:
            note = Note.read(read_file(path))
        except Refused as refused:
            say(3, f"{path.name} counts for nothing: {refused.sentence}")
            continue
        clears.append(ShownClear(note, challenge, drawn, *read_place(path.with_suffix(".path"))))
    return clears


def read_chain(folder: Path, say) -> tuple[Chain, list[str]]:
    """The chain, and a line for each envelope: its number, and `taken`, `known` or `refused` and a code."""
    chain, lines = Chain(read_word(folder / "org", "org-[0-9a-f]{64}")), []
    for path in numbered(folder, "chain/*.txt"):
        try:
            data = read_file(path)
            if chain.policies and data.startswith(RECOVERED + b"\n"):
                what, taken = "beacons' word for a policy of the recovery set", chain.take_word(Note.read(data))
            else:
                envelope = Envelope.read(data)
                what, taken = f"{envelope.kind} {envelope.hash}", chain.take(envelope)
            lines.append(f"{path.stem} {taken}")
            say(2, f"{path.name}: {what} {taken}")
        except Refused as refused:
            lines.append(f"{path.stem} refused {refused.code}")
            say(2, f"{path.name} is not taken: {refused.sentence}")
            if not chain.policies:
                raise Unreadable(f"{path}: the genesis policy is refused: {refused.sentence}") from refused
    if not chain.policies:
        raise Unreadable(f"{folder}/chain: no genesis policy")
    return chain, lines


def read_device(folder: Path, chain: Chain) -> Device:
    """The device's enrollment, directly or by its join to a batch. Whatever is amiss, it is not enrolled."""
    refuse_if(not (folder / "enroll.txt").exists(), "NotEnrolled", "the device is in no enrollment")
    with told_as("NotEnrolled"):
        envelope = Envelope.read(read_file(folder / "enroll.txt"))
        if not (folder / "join.note").exists():
            return first_enrollment(chain, envelope.proof, lambda chain: enrolled_directly(chain, envelope))
        note, proof = Note.read(read_file(folder / "join.note")), Proof.read(read_file(folder / "join.tlog-proof"))
        return first_enrollment(chain, proof, lambda chain: enrolled_by_join(chain, envelope, note, proof))


def first_enrollment(chain: Chain, proof: Proof, judge: Callable[[Chain], Device]) -> Device:
    """A device's first one counts for itself also where its log was replaced since ([3], "Judged again")."""
    try:
        return judge(chain)
    except Refused as refused:
        if refused.code != "ReplacedLog":
            raise
        return judge(chain.while_in_use(proof))


def read_anew(folder: Path, chain: Chain, device: Device, say) -> tuple[Device, list[str]]:
    """The device after its later enrollments, and a line for each: its number, and `taken` or `refused` and a code."""
    lines = []
    for path in numbered(folder, "anew/*.txt"):
        try:
            device = enrolled_anew(chain, device, Envelope.read(read_file(path)))
            lines.append(f"{path.stem} taken")
            say("", f"anew {path.name}: taken")
        except Refused as refused:
            lines.append(f"{path.stem} refused {refused.code}")
            say("", f"anew {path.name} is not taken: {refused.sentence}")
    return device, lines


def read_advances(folder: Path) -> list[Envelope | Refused]:
    def read(path: Path) -> Envelope | Refused:
        try:
            return Envelope.read(read_file(path))
        except Refused as refused:
            return refused

    return [read(path) for path in numbered(folder, "advances/*.txt")]


@dataclass
class Verdict:
    """What came of a bundle: its chain with a line for each envelope, what could be read, and the refusal if there was one."""

    chain: Chain
    chain_lines: list[str]
    anew_lines: list[str] = field(default_factory=list)
    job: Envelope | None = None
    device: Device | None = None
    joined: bool = False
    refusal: Refused | None = None
    receipts: list[Receipt] = field(default_factory=list)
    receipts_logged: int | None = None  # the time by which the last of them was

    def __str__(self) -> str:
        return f"refused: {self.refusal}" if self.refusal else "accepted"

    def of_job(self) -> list[dict]:
        """What its receipts say of this job."""
        return [each.fields for each in self.receipts if self.job and each.fields["job"] == self.job.hash]


def judge_folder(folder: Path, say) -> Verdict:
    chain, lines = read_chain(folder, say)
    verdict, local = Verdict(chain, lines), read_local(folder / "now")
    try:
        verdict.job = Envelope.read(read_file(folder / "job.txt"))
        device = verdict.device = read_device(folder, chain)
        verdict.joined = (folder / "join.note").exists()
        device, verdict.anew_lines = read_anew(folder, chain, device, say)
        verdict.device = device
        say("", f"{device.ident} of {device.site}, enrolled by {device.enrollment}")
        target = read_place(folder / "target") if (folder / "target").exists() else None
        place = (target[0], target[2]) if target else None
        delivery = Delivery(verdict.job, read_advances(folder), read_clears(folder, local.drawn, say), place)
        judge(chain, device, delivery, local, say)
    except Refused as refused:
        verdict.refusal = refused
    return verdict


def read_receipts(folder: Path, verdict: Verdict, say) -> None:
    """`receipts/<n>.note`, its place in its batch `.path`, and the batch's `.tlog-proof`. Refuses what does not hold."""
    paths = numbered(folder, "receipts/*.note")
    if not paths:
        return
    if verdict.device is None:
        raise Refused("Receipt", "receipts of a device that is in no enrollment")
    verdict.receipts = [Receipt.read(read_file(path)) for path in paths]
    check_receipts(verdict.receipts, verdict.chain.org, verdict.device.key)
    for path, receipt in zip(paths, verdict.receipts):
        fields = receipt.fields
        refuse_if(int(path.stem) != receipt.number, "Receipt", f"receipt {receipt.number} is called {path.name}")
        place, proof = path.with_suffix(".path"), path.with_suffix(".tlog-proof")
        refuse_if(not place.exists() or not proof.exists(), "Receipt", f"receipt {receipt.number} is shown in no batch")
        time = check_batch(verdict.chain, receipt, *read_place(place), Proof.read(read_file(proof)))
        verdict.receipts_logged = max(time, verdict.receipts_logged or 0)
        how = f"{fields['verdict']} {fields['because']}".rstrip()
        say("r", f"receipt {receipt.number}: {how}, by the device, witnessed {when(time)}")
        output = path.with_suffix(".output")
        if output.exists():
            check_output(receipt, read_file(output))
            say("r", f"{output.name} is the output that receipt {receipt.number} names")
    check_runs(verdict.of_job())


def check_output(receipt: Receipt, output: bytes) -> None:
    named, shown = (receipt.fields["output"], receipt.fields["kept"]), (hex256(output), len(output))
    told = f"receipt {receipt.number} names the output {named[0]} of {named[1]} bytes, shown are {shown[0]} of {shown[1]}"
    refuse_if(named != shown, "Receipt", told)


def unlike_receipts(verdict: Verdict) -> list[str]:
    """Where the device says of this job that it accepted or refused it, and the rule judges otherwise."""
    said = {each["verdict"] for each in verdict.of_job()}
    if verdict.receipts and not said:
        return ["no receipt that is shown is of this job"]
    if verdict.refusal and said - {"refused"}:
        return [f"the device ran what the rule refuses: {verdict.refusal}"]
    if said == {"refused"} and not verdict.refusal:
        return ["the device refused what the rule accepts"]
    if verdict.refusal and not said:
        return ["it is refused, and nothing in the bundle says that it was"]
    judged = (verdict.chain.newest.hash, verdict.device.enrollment) if verdict.device else ()
    accepted = [(each["policy"], each["enroll"]) for each in verdict.of_job() if each["verdict"] == "accepted"]
    if accepted and judged not in accepted:
        under = " and enrollment ".join(accepted[0])
        return [f"the device accepted it under policy {under}, shown are {' and '.join(judged)}"]
    return []


def not_proven(verdict: Verdict) -> list[str]:
    """What the bundle does not show, of this device and job."""
    lines = ["how old the Clears were, what else ran and which steps had run: the device's clocks and ledger (`now`) are unsigned"]
    if verdict.device:
        lines.append("that the device was not enrolled anew or retired since: only the whole log shows it")
    if verdict.joined:
        lines.append("that its join was among the first of its batch: only the whole log shows it")
    if not verdict.receipts:
        return lines + ["what became of the job: no receipt is shown"]
    lines.append("that the device did what its receipts say: they are its word")
    if missing(verdict.receipts):
        lines.append(f"that nothing was hidden: its receipts {missing(verdict.receipts)} are of other jobs, hidden or lost")
    return lines + [f"how {name} ended: it was accepted" for name in check_runs(verdict.of_job())]


def differences(folder: Path, verdict: Verdict) -> list[str]:
    """Where a verdict is another than the files `expected` say, by verdict and stable code."""
    found = []
    if (folder / "expected").exists():
        wanted = read_lines(folder / "expected")
        mine = ["refused", verdict.refusal.code] if verdict.refusal else ["accepted"]
        if [wanted[0], *wanted[2:]] != mine:
            found.append(f"expected {' '.join(wanted)!r}, found {mine[-1]} ({verdict})")
    for name, lines in (("chain", verdict.chain_lines), ("anew", verdict.anew_lines)):
        if (folder / name / "expected").exists():
            wanted = read_lines(folder / name / "expected")
            for theirs, mine in zip(wanted, lines):
                if theirs.split(" ")[: len(mine.split(" "))] != mine.split(" "):
                    found.append(f"{name}: expected {theirs!r}, found {mine!r}")
            if len(wanted) != len(lines):
                found.append(f"{name}: expected {len(wanted)} lines, found {len(lines)}")
    return found


# ---------------------------------------------------------------------------------------------------------------------
# [8] Evidence of a span of time.
# ---------------------------------------------------------------------------------------------------------------------

STATEMENTS_WITHIN = ("policy", "job", "advance", "halt", "resume", "enroll")


@dataclass(frozen=True, order=True)
class Mark:
    """A log of this size and root, as a quorum of witnesses saw it at this time."""

    log: int
    size: int
    root: bytes
    time: int


def mark_of(chain: Chain, note: Note) -> Mark | None:
    """What a checkpoint says, if the policy in force at its last leaf, the one before that, or a later one counts it; of several the
    first."""
    with suppress(Refused, UnicodeDecodeError):
        origin, size, root = note.fields()[0], decimal(note.fields()[1]), hash_line(note.fields()[2])
        named = [each for each in chain.policies if each.log.name == origin]
        if not named or size == 0:
            return None
        before = [each.number for each in chain.policies if each.place < (named[-1].place[0], size - 1)]
        for policy in named:
            if policy.number >= max(before, default=1) - 1:
                with suppress(Refused):
                    return Mark(named[-1].place[0], size, root, witnessed(note, policy))
    return None


def witnessed(note: Note, policy: Held) -> int:
    """The smallest time by which the cosignatures meet the quorum of `policy`, whose log signed."""
    refuse_if(not note.is_signed_by(policy.log), "Log", f"a checkpoint not signed by the log {policy.log.name!r}")
    cosigned = {key.raw: note.cosigned_at(key) for key in policy.note_keys("witnesses")}
    times, need = sorted(time for time in cosigned.values() if time is not None), policy.value["witnesses"]["need"]
    refuse_if(len(times) < need, "Log", f"cosigned by {len(times)} witnesses, {need} are needed")
    return times[need - 1]


Slot = tuple[str, str, str] | bytes | None  # type, hash of the statement, hash of the signatures; another's entry; or nobody showed it


def entry_of(org: str, slot: Slot) -> bytes | None:
    if isinstance(slot, tuple):
        return f"countersign-leaf/v1\n{org}\n{slot[0]}\n{slot[1]}\n{slot[2]}\n".encode()
    return slot


def read_leaves(path: Path) -> list[Slot]:
    slots: list[Slot] = []
    for line in read_lines(path):
        match line.split(" "):
            case ["unknown", count] if re.fullmatch("[1-9][0-9]{0,9}", count, re.ASCII):
                slots += [None] * int(count)
            case ["other", entry]:
                slots.append(base64.b64decode(entry))
            case [kind, statement, signatures] if re.fullmatch("[0-9a-f]{64}", statement) and re.fullmatch("[0-9a-f]{64}", signatures):
                slots.append((kind, statement, signatures))
            case _:
                raise Unreadable(f"{path}: not a leaf: {line!r:.80}")
    return slots


def roots_of(org: str, slots: list[Slot], sizes: set[int]) -> dict[int, bytes]:
    """The root of the first leaves, for each of these sizes; as far as all leaves are shown."""
    peaks: list[bytes] = []
    roots: dict[int, bytes] = {0: tree_root([])}
    for size, slot in enumerate(slots, 1):
        entry = entry_of(org, slot)
        if entry is None:
            break
        node, carry = leaf_hash(entry), size - 1
        while carry & 1:
            node, carry = node_hash(peaks.pop(), node), carry >> 1
        peaks.append(node)
        if size in sizes:
            root = peaks[-1]
            for peak in peaks[-2::-1]:
                root = node_hash(peak, root)
            roots[size] = root
    return roots


@dataclass(frozen=True)
class ShownReceipt:
    receipt: Receipt
    batch: tuple[str, int, int, list[bytes]] | None  # root, index, size, path


def read_sequence(path: Path) -> list[bytes]:
    """[8], "Sequence of envelopes"."""
    data, items = read_file(path), []
    while data:
        head, _, rest = data.partition(b"\n")
        found = re.fullmatch(rb"envelope (0|[1-9][0-9]{0,9})", head)
        if not found or int(found[1]) > len(rest):
            raise Unreadable(f"{path}: no sequence of envelopes")
        items.append(rest[: int(found[1])])
        data = rest[int(found[1]) :]
    return items


def read_shown(path: Path) -> list[ShownReceipt]:
    items = read_sequence(path)
    if len(items) % 2:
        raise Unreadable(f"{path}: a receipt without a place")
    shown = []
    for note, place in zip(items[::2], items[1::2]):
        receipt, batch = Receipt.read(note), None
        if place:
            lines = place.decode("utf-8", "replace").split("\n")[:-1]
            heads = [line.partition(" ")[0] for line in lines[:3]]
            refuse_if(heads != ["batch", "index", "size"], "Receipt", f"{path.name}: a receipt whose place is none")
            root, index, size = (line.partition(" ")[2] for line in lines[:3])
            batch = (root, decimal(index), decimal(size), [hash_line(line) for line in lines[3:]])
        shown.append(ShownReceipt(receipt, batch))
    return shown


class Evidence:
    """A folder of evidence. What does not hold is gathered in `faults`; the rest is what the folder shows."""

    def __init__(self, folder: Path):
        self.folder, self.faults = folder, []
        self.org, self.begin, self.end, self.source = self.read_span()
        self.chain = Chain(self.org)
        self.read_chain()
        self.envelopes: dict[str, Envelope] = {}
        self.joins: dict[str, tuple[Note, Proof | None]] = {}
        self.proofs: dict[str, Proof] = {}  # of batches, by root
        self.read_statements()
        self.read_joins()
        for path in sorted(folder.glob("batches/*.tlog-proof")):
            with self.told(path):
                self.proofs[path.stem] = Proof.read(read_file(path))
        self.logs = [read_leaves(folder / f"logs/{log}.leaves") for log in range(self.chain.newest.place[0] + 1)]
        self.marks = self.read_marks()
        self.within = [self.range_of(log) for log in range(len(self.logs))]
        self.check_logs()
        self.check_places()
        self.devices = self.enrolled()
        self.targets = self.read_targets()
        self.receipts: dict[str, list[ShownReceipt]] = {}
        self.batches: dict[str, tuple[int, dict[int, Receipt]]] = {}
        self.read_receipts()

    @contextmanager
    def told(self, path: Path):
        """What is refused within does not hold, and the rest is read on."""
        try:
            yield
        except (Refused, UnicodeDecodeError) as refused:
            self.faults.append(f"{path.relative_to(self.folder)}: {refused}")

    def read_span(self) -> tuple[str, int, int, str]:
        lines = read_lines(self.folder / "span")
        found = re.fullmatch(r"(org-[0-9a-f]{64})\nfrom ([0-9]{1,20})\nuntil ([0-9]{1,20})\nof (server|records)", "\n".join(lines), re.ASCII)
        if not found:
            raise Unreadable(f"{self.folder}/span: not a span")
        return found[1], int(found[2]), int(found[3]), found[4]

    def read_chain(self) -> None:
        for path in numbered(self.folder, "chain/*.txt"):
            with self.told(path):
                data = read_file(path)
                if self.chain.policies and data.startswith(RECOVERED + b"\n"):
                    self.chain.take_word(Note.read(data))
                else:
                    self.chain.take(Envelope.read(data))
        if not self.chain.policies:
            raise Unreadable(f"{self.folder}/chain: no genesis policy that holds")

    def read_statements(self) -> None:
        for path in sorted(self.folder.glob("statements/*.txt")):
            with self.told(path):
                envelope = Envelope.read(read_file(path))
                refuse_if(envelope.hash != path.stem, "Statement", f"it holds the statement {envelope.hash}")
                value = read_text(envelope.kind, envelope.text)
                genesis = envelope.kind == "policy" and "org-" + envelope.hash == self.org
                refuse_if(value["org"] not in (self.org, "") or (value["org"] == "" and not genesis and envelope.kind != "halt"),
                          "Organization", f"a {envelope.kind} of {value['org'] or 'none'}")
                self.envelopes[envelope.hash] = envelope

    def read_joins(self) -> None:
        for path in sorted(self.folder.glob("joins/*.note")):
            with self.told(path):
                note, beside = Note.read(read_file(path)), path.with_suffix(".tlog-proof")
                refuse_if(hex256(note.text) != path.stem, "NotEnrolled", f"it holds the join {hex256(note.text)}")
                self.joins[path.stem] = (note, Proof.read(read_file(beside)) if beside.exists() else None)

    def read_marks(self) -> list[Mark]:
        proofs = [each.proof for each in self.envelopes.values()] + [proof for _, proof in self.joins.values()] + list(self.proofs.values())
        notes = [proof.checkpoint for proof in proofs if proof]
        for path in sorted(self.folder.glob("logs/*")):
            if path.suffix != ".leaves":
                with self.told(path):
                    notes.append(Note.read(read_file(path)))
        return sorted({mark for note in notes if (mark := mark_of(self.chain, note))})

    def bound(self, log: int, which: str) -> Mark | None:
        path = self.folder / f"logs/{log}.{which}"
        if not path.exists():
            return None
        mark = None
        with self.told(path):
            mark = mark_of(self.chain, Note.read(read_file(path)))
            refuse_if(mark is None or mark.log != log, "Log", "no checkpoint of this log that witnesses vouch for")
            good = mark.time < self.begin if which == "before" else mark.time >= self.end if which == "after" else True
            refuse_if(not good, "Log", f"a checkpoint of {when(mark.time)}, which is not {which} the span")
        return mark

    def range_of(self, log: int) -> range:
        """The leaves that may have been logged within the span: all but those that a quorum saw before it, or did not see yet when it
        was over."""
        before, after = self.bound(log, "before"), self.bound(log, "after")
        end = min(after.size if after else len(self.logs[log]), len(self.logs[log]))
        return range(min(before.size if before else 0, end), end)

    def check_logs(self) -> None:
        """Each log has the root that its checkpoint, or the policy that replaced it, says; and each checkpoint shown is of this log."""
        for log, slots in enumerate(self.logs):
            roots = roots_of(self.org, slots, {mark.size for mark in self.marks if mark.log == log} | {len(slots)})
            ended = next((each for each in self.chain.policies if each.place[0] == log + 1), None)
            newest = self.bound(log, "checkpoint")
            size = ended.value["log"]["old_size"] if ended else newest.size if newest else None
            if size is None and self.source == "server":
                self.faults.append(f"log {log}: no checkpoint says how long it is")
            if size is not None and size != len(slots):
                self.faults.append(f"log {log}: {len(slots)} leaves are shown, it has {size}")
            if ended and ended.value["log"]["old_root"] and len(slots) in roots and roots[len(slots)].hex() != ended.value["log"]["old_root"]:
                self.faults.append(f"log {log}: its root is not the one that policy {ended.number} says it ended with")
            for mark in self.marks:
                if mark.log == log and mark.size <= len(slots) and roots.get(mark.size, mark.root) != mark.root:
                    self.faults.append(f"log {log}: its first {mark.size} leaves have another root than witnesses signed at {when(mark.time)}")
                    break

    def slot(self, place: Place) -> Slot:
        log, index = place
        return self.logs[log][index] if log < len(self.logs) and index < len(self.logs[log]) else None

    def check_places(self) -> None:
        """Every statement, join and batch that is shown stands where its proof says, by a log and witnesses that count."""
        items = [(f"statements/{hash_}.txt", each.proof, each.entry(self.org), each.kind) for hash_, each in self.envelopes.items()]
        items += [(f"joins/{hash_}.note", proof, log_entry(self.org, "join", bytes.fromhex(hash_), b""), "join")
                  for hash_, (_, proof) in self.joins.items()]
        items += [(f"batches/{root}.tlog-proof", proof, log_entry(self.org, "receipts", bytes.fromhex(root), b""), "receipts")
                  for root, proof in self.proofs.items()]
        for name, proof, entry, kind in items:
            with self.told(self.folder / name):
                if proof is None and kind == "halt" and self.source == "records":
                    continue
                refuse_if(proof is None, "Log", "no proof that it stands in the log")
                place = self.chain.place_of(proof)
                root = root_by_path(leaf_hash(entry), proof.index, proof.size, proof.path)
                refuse_if(root != proof.root, "Log", f"the proof leads to root {root.hex()}, the checkpoint's is {proof.root.hex()}")
                if kind != "policy":  # its own place was judged when the chain took it
                    self.chain.check_logged(proof, entry, self.chain.in_force_at(place))
                refuse_if(entry_of(self.org, self.slot(place)) != entry, "Log", f"it is shown at leaf {place[0]}:{place[1]}, which says something else")

    def enrolled(self) -> dict[str, NoteKey]:
        """The key of each device that a statement or join enrolls which holds, at the first leaf where it stands; of a batch the first
        so many."""
        firsts: dict[tuple[str, str], Place] = {}
        for log, slots in enumerate(self.logs):
            for index, slot in enumerate(slots):
                if isinstance(slot, tuple):
                    firsts.setdefault(slot[:2], (log, index))
        devices: dict[str, NoteKey] = {}
        for hash_, envelope in self.envelopes.items():
            if envelope.kind != "enroll" or not envelope.proof:
                continue
            with suppress(Refused):
                what = check_enrollment(self.chain, envelope)
                if firsts.get(("enroll", hash_)) != self.chain.place_of(envelope.proof):
                    continue
                if "device" in what:
                    device = _device_of(self.chain, envelope, what["device"])
                    devices[device.ident] = device.key
                if "batch" in what:
                    joined = {}
                    for device in self.joined(envelope, firsts):
                        joined.setdefault(device.ident, device.key)
                    devices |= dict(list(joined.items())[: what["batch"]["count"]])
        return devices

    def joined(self, batch: Envelope, firsts: dict[tuple[str, str], Place]) -> list[Device]:
        found = []
        for hash_, (note, proof) in self.joins.items():
            if proof and f"batch {batch.hash}".encode() in note.text.split(b"\n"):
                with suppress(Refused):
                    device = enrolled_by_join(self.chain, batch, note, proof)
                    if firsts.get(("join", hash_)) == device.place:
                        found.append(device)
        return sorted(found, key=lambda device: device.place)

    def read_targets(self) -> dict[str, list[str]]:
        targets = {}
        for path in sorted(self.folder.glob("targets/*")):
            with self.told(path):
                ids, job = read_lines(path), self.envelopes.get(path.name)
                for each in ids:
                    DEVICE(each, 0)
                listed = read_text("job", job.text)["targets"].get("list") if job and job.kind == "job" else None
                root = tree_root([bytes.fromhex(each.removeprefix("dev-")) for each in ids]).hex()
                refuse_if(not listed or (listed["count"], listed["root"]) != (len(ids), root), "NotATarget", "not the list that was signed")
                targets[path.name] = ids
        return targets

    def read_receipts(self) -> None:
        for path in sorted(self.folder.glob("receipts/*")):
            with self.told(path):
                key = self.devices.get(path.name)
                refuse_if(key is None, "Receipt", "of a device that nothing shown enrolls")
                shown = read_shown(path)
                self.receipts[path.name] = shown
                check_receipts([each.receipt for each in shown], self.org, key)
                check_accepted([each.receipt for each in shown])
                for each in shown:
                    if each.batch:
                        self.add_to_batch(each)

    def add_to_batch(self, shown: ShownReceipt) -> None:
        root, index, size, path = shown.batch
        found = root_by_path(leaf_hash(shown.receipt.note.text), index, size, path).hex()
        refuse_if(found != root, "Receipt", f"receipt {shown.receipt.number} does not stand in the batch {root}")
        refuse_if(root not in self.proofs, "Receipt", f"receipt {shown.receipt.number} is in the batch {root}, which is shown nowhere in the log")
        self.batches.setdefault(root, (size, {}))[1][index] = shown.receipt

    def leaves(self) -> list[tuple[Place, Slot]]:
        return [((log, index), slots[index]) for log, slots in enumerate(self.logs) for index in self.within[log]]


def check_accepted(receipts: list[Receipt]) -> None:
    """[7]: of one job, occurrence and step there is at most one `accepted`. An end whose beginning is not shown may be older."""
    steps = [(each.fields["job"], each.fields["occurrence"], each.fields["step"]) for each in receipts if each.fields["verdict"] == "accepted"]
    for step in steps:
        refuse_if(steps.count(step) > 1, "Receipt", f"step {step[2] + 1} of occurrence {step[1]} of {step[0]} was accepted twice")


# What is missing: the lines of [8], in their order.


def missing_of(evidence: Evidence) -> list[str]:
    lines = []
    for log, slots in enumerate(evidence.logs):
        run = 0
        for index, slot in enumerate([*slots, b""]):
            if slot is None:
                run += 1
                continue
            if run:
                lines.append(f"leaves {log}:{index - run}-{index - 1}")
            run = 0
            if index < len(slots):
                lines += missing_leaf(evidence, log, index, slot)
        vouched = any(mark.log == log and mark.size == len(slots) for mark in evidence.marks)
        if evidence.source == "records" and slots and not vouched:
            lines.append(f"quorum {log}:{len(slots)}")
    lines += missing_receipts(evidence) + missing_jobs(evidence)
    if evidence.source == "records":
        lines += [f"device {device}" for device in sorted(evidence.devices) if device not in evidence.receipts]
    return lines


def missing_leaf(evidence: Evidence, log: int, index: int, slot: Slot) -> list[str]:
    within, before_end = index in evidence.within[log], index < evidence.within[log].stop
    if not isinstance(slot, tuple):
        return [f"other {log}:{index}"] if within else []
    kind, statement, _ = slot
    if kind == "receipts":
        size, shown = evidence.batches.get(statement, (0, {}))
        whole = size > 0 and len(shown) == size
        return [f"batch {log}:{index} {statement} {len(shown)} of {size or '?'}"] if within and not whole else []
    if kind == "join":
        return [f"join {log}:{index} {statement}"] if before_end and statement not in evidence.joins else []
    envelope = evidence.envelopes.get(statement)
    hidden = envelope is None or envelope.entry(evidence.org) != entry_of(evidence.org, slot)
    return [f"{kind} {log}:{index} {statement}"] if hidden and (before_end if kind == "enroll" else within) else []


def missing_receipts(evidence: Evidence) -> list[str]:
    lines = []
    for device, shown in sorted(evidence.receipts.items()):
        following = None
        for each in shown:
            number = each.receipt.number
            if following is not None and number > following:
                lines.append(f"receipts {device} {following}-{number - 1}")
            if each.batch is None:
                lines.append(f"unlogged {device} {number}")
            following = number + 1
    return lines


def missing_jobs(evidence: Evidence) -> list[str]:
    told = [each.receipt.fields["job"] for shown in evidence.receipts.values() for each in shown]
    lines = [f"job - {job}" for job in sorted(set(told) - {"none"}) if job not in evidence.envelopes]
    heard = {(each.receipt.fields["job"], device) for device, shown in evidence.receipts.items() for each in shown}
    for _, slot in evidence.leaves():
        envelope = evidence.envelopes.get(slot[1]) if isinstance(slot, tuple) and slot[0] == "job" else None
        if envelope and envelope.kind == "job" and "list" in read_text("job", envelope.text)["targets"]:
            targets = evidence.targets.get(envelope.hash)
            lines += [f"targets {envelope.hash}"] if targets is None else [
                f"silent {envelope.hash} {each}" for each in targets if (envelope.hash, each) not in heard]
    return list(dict.fromkeys(lines))


# The page for people, byte for byte as it must stand in `timeline.txt`.


def moment(time: int) -> str:
    """As [8] prints a time, however late."""
    days, rest = divmod(time, 86_400)
    shifted = days + 719_468
    era, of_era = divmod(shifted, 146_097)
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153
    day, month = of_year - (153 * month + 2) // 5 + 1, month + 3 if month < 10 else month - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day:02} {rest // 3_600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


def short(ident: str) -> str:
    prefix, dash, digits = ident.rpartition("-")
    return prefix + dash + digits[:12]


def cut(text: str) -> str:
    return text[:120].replace("\n", " ").replace("\t", " ")


def timeline_of(evidence: Evidence) -> str:
    text = f"Evidence of {evidence.org} from {moment(evidence.begin)} until {moment(evidence.end)}\n"
    text += "In the order of the log. The time is when enough witnesses had seen it; of a receipt what the device says.\n\n"
    for (log, index), slot in evidence.leaves():
        times = [mark.time for mark in evidence.marks if mark.log == log and mark.size > index]
        said = leaf_line(evidence, slot)
        if said is not None:
            text += f"{moment(min(times)) if times else '-'} {log}:{index} {said}\n"
        if isinstance(slot, tuple) and slot[0] == "receipts":
            for at, receipt in sorted(evidence.batches.get(slot[1], (0, {}))[1].items()):
                text += f"{moment(receipt.fields['time'])} {log}:{index}.{at} {receipt_line(receipt)}\n"
    for hash_, envelope in sorted(evidence.envelopes.items()):
        if envelope.proof is None:
            text += f"- - {statement_line(evidence, hash_, envelope)}\n"
    for _, shown in sorted(evidence.receipts.items()):
        text += "".join(f"{moment(each.receipt.fields['time'])} - {receipt_line(each.receipt)}\n" for each in shown if each.batch is None)
    return text


def leaf_line(evidence: Evidence, slot: Slot) -> str | None:
    if not isinstance(slot, tuple):
        return None if slot is None else "NONE OF THIS ORGANIZATION"
    kind, statement, _ = slot
    if kind == "receipts" and statement in evidence.batches:
        size, shown = evidence.batches[statement]
        return f"receipts {short(statement)}, {len(shown)} of {size} shown"
    if kind == "join" and statement in evidence.joins:
        fields = evidence.joins[statement][0].fields()
        return f"join {short(fields[3].removeprefix('device ').split('+')[0])} by {short(fields[2].removeprefix('batch '))}"
    envelope = evidence.envelopes.get(statement)
    if envelope is None or envelope.entry(evidence.org) != entry_of(evidence.org, slot):
        return f"{kind} {short(statement)} NOT SHOWN"
    return statement_line(evidence, statement, envelope)


def statement_line(evidence: Evidence, statement: str, envelope: Envelope) -> str:
    people = sorted({each.name for policy in evidence.chain.policies for each in signers(envelope, policy)})
    said = STATEMENT_LINES[envelope.kind](evidence, envelope, read_text(envelope.kind, envelope.text))
    return f"{envelope.kind} {short(statement)}, signed by {', '.join(people) or 'nobody known'}{said}"


def halt_line(evidence: Evidence, envelope: Envelope, value: dict) -> str:
    ((scope, what),) = value["scope"].items()
    stops = {"organization": "the organization", "component": f"{what['name']} below {what['below']}" if scope == "component" else ""}
    stops = stops.get(scope) or f"{scope} {what if scope == 'person' else short(what)}"
    return f", called by {called_by(evidence.chain, envelope)}, stops {stops}, made {moment(value['made'])}: {cut(value['reason'])}"


def called_by(chain: Chain, envelope: Envelope) -> str:
    """Everybody who may halt and signed, in the envelope's order."""
    names = []
    with suppress(Refused):
        for call in chain.judge_halt(envelope).calls:
            policy = chain.policies[call.made_under - 1]
            people = [name for name, key, _ in policy.people_keys() if hex256(key.blob) == call.key]
            machines = [name for name, key in policy.value["halt"]["machines"].items() if hex256(SshKey.read(key).blob) == call.key]
            names.append("the vendor" if call.is_vendors else people[0] if people else f"the machine {machines[0]}")
    return ", ".join(names) or "nobody who may"


def resume_line(_evidence: Evidence, _envelope: Envelope, value: dict) -> str:
    lifts = f"{len(value['lifts']['halts'])} halts" if "halts" in value["lifts"] else f"all of {len(value['lifts']['keys'])} keys"
    cuts = "nothing" if "none" in value["cuts"] else "all" if "all" in value["cuts"] else ", ".join(value["cuts"]["people"])
    return f", lifts {lifts}, cuts {cuts}, keeps {len(value['keeps'])}: {cut(value['why'])}"


def enroll_line(_evidence: Evidence, _envelope: Envelope, value: dict) -> str:
    ((which, what),) = value["what"].items()
    if which == "device":
        return f", of {short(what['key'].split('+')[0])} at {what['site']}"
    return f", retires {short(what['device'])}" if which == "retire" else f", of {what['count']} at {what['site']} until {moment(what['until'])}"


STATEMENT_LINES = {
    "policy": lambda _evidence, _envelope, value: f", number {value['number']}",
    "job": lambda _evidence, _envelope, value: f", asked for by {value['requester']}: {cut(value['why'])}",
    "advance": lambda _evidence, _envelope, value: f", wave {value['wave']} of {short(value['job'])}, "
    f"{value['well']} well, {value['failed']} failed, {value['missing']} missing",
    "halt": halt_line, "resume": resume_line, "enroll": enroll_line,
}


def receipt_line(receipt: Receipt) -> str:
    fields = receipt.fields
    times = "" if fields["count"] == 1 else f", {fields['count']} times"
    because = f": {cut(fields['because'])}" if fields["because"] else ""
    return (f"{short(receipt.device)} {fields['number']} {fields['verdict']} job {short(fields['job'])}, "
            f"occurrence {fields['occurrence']}, step {fields['step'] + 1}{times}{because}")


def check_manifest(folder: Path, faults: list[str]) -> list[str]:
    """Every file is listed with its hash, and every file that is listed is there. Gives what the list says is missing."""
    listed, named = {}, []
    for line in read_lines(folder / "MANIFEST"):
        if line.startswith("# missing "):
            named.append(line.removeprefix("# missing "))
        elif not line.startswith("#"):
            hash_, _, name = line.partition("  ")
            listed[name] = hash_
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"MANIFEST"}
    faults += [f"MANIFEST: {name} is not listed" for name in sorted(there - listed.keys())]
    faults += [f"MANIFEST: {name} is listed and not there" for name in sorted(listed.keys() - there)]
    faults += [f"MANIFEST: {name} is not what was listed" for name in sorted(there & listed.keys())
               if hex256(read_file(folder / name)) != listed[name]]
    return named


def span_faults(folder: Path) -> tuple[Evidence, list[str], list[str]]:
    """The evidence, every way in which it does not hold, and what is missing."""
    evidence = Evidence(folder)
    faults = evidence.faults
    named, found = check_manifest(folder, faults), missing_of(evidence)
    faults += [f"missing, and MANIFEST does not say so: {line}" for line in found if line not in named]
    faults += [f"MANIFEST says that it is missing, and it is not: {line}" for line in named if line not in found]
    if not (folder / "timeline.txt").exists() or read_file(folder / "timeline.txt").decode("utf-8", "replace") != timeline_of(evidence):
        faults.append("timeline.txt does not say what the evidence says")
    return evidence, faults, found


MISSING_WORDS = {
    "leaves": "leaves of the log that nobody showed", "quorum": "how long the log was: too few witnesses vouch for it",
    "other": "what an entry of the log that is none of the organization's stands for", "batch": "receipts of a batch that stands in the log",
    "receipts": "receipts between others of a device: hidden or lost", "unlogged": "a receipt's place in the log: its device signed it, nobody witnessed it",
    "targets": "for which devices a job was", "silent": "what a device that a job was for said of it", "device": "anything that this device said",
}


def span(folder: Path) -> int:
    """The evidence of a span of time: what holds, what is missing, what it does not show."""
    evidence, faults, found = span_faults(folder)
    print(f"{evidence.org}, if that is the id that you were given")
    print(f"from {moment(evidence.begin)} until {moment(evidence.end)}, as {evidence.source} show it" if evidence.source == "records" else
          f"from {moment(evidence.begin)} until {moment(evidence.end)}, as the server showed it")
    for log, slots in enumerate(evidence.logs):
        newest = max((mark.time for mark in evidence.marks if mark.log == log), default=None)
        shown, within = sum(slot is not None for slot in slots), evidence.within[log]
        seen = f"last witnessed {moment(newest)}" if newest is not None else "witnessed by too few"
        print(f"log {log}: {shown} of {len(slots)} leaves shown, {seen}; {len(within)} may be of this time")
    kinds = [slot[0] for _, slot in evidence.leaves() if isinstance(slot, tuple)]
    print("  " + (", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "nothing"))
    print(f"  {sum(map(len, evidence.receipts.values()))} receipts of {len(evidence.receipts)} devices, each signed by its device")
    for line in found:
        word = line.split(" ")[0]
        print(f"MISSING: {line}: {MISSING_WORDS.get(word, f'the text of this {word}')}")
    for line in not_shown(evidence):
        print(f"Not proven: {line}")
    for line in faults:
        print(f"DOES NOT HOLD: {line}")
    print("does not hold" if faults else "holds as far as it goes: what is missing is named" if found else "holds, nothing is missing")
    return 1 if faults else 3 if found else 0


def not_shown(evidence: Evidence) -> list[str]:
    lines = ["that a device did what its receipts say: they are its word",
             "by which Clears a device decided: `countersign audit JOB` and the device itself have them",
             "when a halt was called: the time in it is its author's word; by when it was witnessed is proven"]
    newest = max((mark.time for mark in evidence.marks), default=0)
    if newest < evidence.end:
        lines.append(f"anything after {moment(newest)}, when the log was witnessed last")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# The commands.
# ---------------------------------------------------------------------------------------------------------------------


def aloud(check, line) -> None:
    print(f"{f'[{check}]' if check != '' else '':>5} {line}")


def check_folder(folder: Path, say) -> tuple[Verdict, list[str]]:
    """A bundle's verdict, and every way in which it is another than what the bundle claims."""
    verdict = judge_folder(folder, say)
    unlike = differences(folder, verdict)
    try:
        read_receipts(folder, verdict, say)
    except Refused as refused:
        unlike.append(str(refused))
    if not (folder / "expected").exists() or verdict.receipts:
        unlike += unlike_receipts(verdict)
    return verdict, unlike


def verify(folder: Path) -> int:
    """One bundle, line by line: what is proven, by which check; what is not; what does not hold; the verdict."""
    print("Proven, if org is the id that you were given:")
    verdict, unlike = check_folder(folder, aloud)
    if not unlike:
        print("Not proven:")
        for line in not_proven(verdict):
            print(f"      {line}")
    for line in unlike:
        print(f"DOES NOT HOLD: {line}")
    print(verdict)
    return 1 if unlike else 0


def vectors(folder: Path) -> int:
    """All bundles of a folder against what is expected of them."""
    folders = sorted(path.parent for path in folder.glob("*/expected"))
    wrong = 0
    for each in folders:
        unlike = differences(each, judge_folder(each, silent))
        wrong += bool(unlike)
        for line in unlike:
            print(f"{each.name}: {line}")
    print(f"{len(folders) - wrong} of {len(folders)} agree")
    return 1 if wrong or not folders else 0


def print_job(verdict: Verdict) -> None:
    """Who asked for a job and who approved it, by the policy it names, and when the witnesses saw it."""
    job, chain = verdict.job, verdict.chain
    try:
        value = read_text("job", job.text)
        signed = signers(job, chain.policy(value["policy"]) or chain.newest)
        time = chain.check_logged(job.proof, job.entry(chain.org), chain.in_force_at(chain.place_of(job.proof)))
    except Refused as refused:
        print(f"job {job.hash}\n  cannot be told: {refused.sentence}")
        return
    print(f"job {job.hash}")
    print(f"  why           {value['why'].strip()!r}")
    print("  asked for by  " + (", ".join(str(each) for each in signed if each.name == value["requester"]) or "nobody who signed"))
    print("  approved by   " + (", ".join(str(each) for each in signed if each.name != value["requester"]) or "nobody"))
    print(f"  witnessed     {when(time)} UTC, leaf {job.proof.index} of {job.proof.origin}")


def print_device(folder: Path, verdict: Verdict) -> None:
    """A line for one device: what the rule says, and what the device's receipts say."""
    device = f"{verdict.device.ident} {verdict.device.site}" if verdict.device else folder.name
    print(f"  {device}\n    the rule      {verdict}")
    for fields in verdict.of_job():
        how = f"{fields['verdict']} {fields['because']}".strip()
        print(f"    receipt {fields['number']:<5} {how}, step {fields['step'] + 1}, {when(fields['time'])}, output {fields['output']}")
    if verdict.receipts_logged is not None:
        print(f"    witnessed     {when(verdict.receipts_logged)} UTC, all receipts that are shown")


def bundle(folder: Path) -> int:
    """All bundles below a folder, job by job."""
    folders = sorted(path.parent for path in folder.glob("**/job.txt"))
    if not folders:
        raise Unreadable(f"{folder}: no bundle below it")
    checked = [(each, *check_folder(each, silent)) for each in folders]
    checked.sort(key=lambda each: (each[1].job.hash if each[1].job else "", each[0]))
    last, wrong = None, 0
    for each, verdict, unlike in checked:
        if verdict.job and verdict.job.hash != last:
            print_job(verdict)
            last = verdict.job.hash
        print_device(each, verdict)
        wrong += bool(unlike)
        for line in unlike:
            print(f"    DOES NOT HOLD: {line}")
    clones = print_devices([verdict for _, verdict, _ in checked])
    print(f"{len(checked) - wrong} of {len(checked)} bundles hold")
    return 1 if wrong or clones else 0


def print_devices(verdicts: list[Verdict]) -> int:
    """What the receipts of all jobs of one device say together. Gives how many devices contradict themselves."""
    devices: dict[str, dict[str, Receipt]] = {}
    for verdict in verdicts:
        if verdict.receipts_logged is not None:
            devices.setdefault(verdict.device.ident, {}).update({each.hash: each for each in verdict.receipts})
    wrong = 0
    for ident, held in sorted(devices.items()):
        receipts = sorted(held.values(), key=lambda each: each.number)
        try:
            check_sequence(receipts)
            gaps = missing(receipts)
            print(f"{ident}: {len(receipts)} receipts" + (f"; not shown: {gaps}" if gaps else ", none missing between them"))
        except Refused as refused:
            wrong += 1
            print(f"{ident}\n    DOES NOT HOLD: {refused}")
    return wrong


COMMANDS = {"verify": verify, "vectors": vectors, "bundle": bundle, "span": span}


def main(arguments: list[str]) -> int:
    if arguments in (["--help"], ["-h"], ["help"]):
        print(__doc__.strip())
        return 0
    if len(arguments) != 2 or arguments[0] not in COMMANDS:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        return COMMANDS[arguments[0]](Path(arguments[1]))
    except Unreadable as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

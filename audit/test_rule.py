"""A small organization with fresh keys, a good job on one device, and the same bent in one place."""

import base64
import contextlib
import hashlib
import io
import struct
import tempfile
import unittest
from pathlib import Path

import audit
from audit import Clocks, Refused
from test_audit import MachineKey, path_to, text_of, wire

BEGIN = 1_700_000_000
LOG = MachineKey(100, "log.example")
WITNESSES = [MachineKey(110 + n, f"w{n}.example", 4) for n in range(3)]
BEACONS = [MachineKey(120 + n, f"b{n}.example") for n in range(3)]
DEVICE = MachineKey(130, "")
TOKEN = MachineKey(131, "token")
PEOPLE = {name: MachineKey(140 + n, name) for n, name in enumerate(("anna", "ben", "cleo", "dora"))}
CHALLENGE = hashlib.sha256(b"challenge").digest()
LOST = {"safe": MachineKey(150, "safe"), "new anna": MachineKey(151, "new anna"), "new ben": MachineKey(152, "new ben")}
KEYS = {**PEOPLE, **LOST}


def ssh_line(key: MachineKey) -> str:
    return "ssh-ed25519 " + base64.b64encode(wire(b"ssh-ed25519", key.raw)).decode()


def sshsig(key: MachineKey, text: bytes, kind: str) -> bytes:
    head = wire(f"{kind}.v1@countersign".encode(), b"", b"sha512")
    signed = key.private.sign(b"SSHSIG" + head + wire(hashlib.sha512(text).digest()))
    return b"SSHSIG" + struct.pack(">I", 1) + wire(wire(b"ssh-ed25519", key.raw)) + head + wire(wire(b"ssh-ed25519", signed))


def armored(blob: bytes) -> bytes:
    body = base64.b64encode(blob)
    lines = b"".join(body[i : i + 70] + b"\n" for i in range(0, len(body), 70))
    return b"-----BEGIN SSH SIGNATURE-----\n" + lines + b"-----END SSH SIGNATURE-----\n"


class Log:
    """A log that shows every entry in a checkpoint cosigned by two of three witnesses."""

    def __init__(self):
        self.entries: list[bytes] = []

    def add(self, entry: bytes, time: int, witnesses=WITNESSES[:2]) -> bytes:
        self.entries.append(entry)
        index, root = len(self.entries) - 1, audit.tree_root(self.entries)
        text = f"{LOG.name}\n{len(self.entries)}\n{base64.b64encode(root).decode()}\n".encode()
        path = b"".join(base64.b64encode(each) + b"\n" for each in path_to(index, self.entries))
        lines = LOG.line(text) + b"".join(key.line(text, time + n) for n, key in enumerate(witnesses))
        return f"c2sp.org/tlog-proof@v1\nindex {index}\n".encode() + path + b"\n" + text + b"\n" + lines


class Organization:
    def __init__(self):
        self.log = Log()
        genesis = self.policy("", 1, [])
        self.org = "org-" + hashlib.sha256(text_of(genesis)).hexdigest()
        self.chain = audit.Chain(self.org)
        self.now = BEGIN
        self.first = self.print("policy", genesis, ["anna", "ben"])
        self.chain.take(audit.Envelope.read(self.first))

    def policy(self, org: str, number: int, previous: list[str]) -> dict:
        quorum = {"role": "admins", "need": 2}
        return {
            "org": org, "number": number, "previous": previous, "resumes": [], "name": "Bäckerei",
            "people": {name: {"keys": [{"key": ssh_line(key), "same_origin": False}]} for name, key in PEOPLE.items()},
            "roles": {"admins": ["anna", "ben", "cleo"], "askers": ["anna", "dora"]},
            "rules": [{"kinds": ["script"], "labels": {"site": "berlin"}, "requesters": ["askers"], "approvers": ["admins"],
                       "approvals": 1, "properties": [], "hours": [], "waves": 0}],
            "quorums": {which: quorum for which in ("policy", "enroll", "resume", "promote")},
            "halt": {"roles": ["admins"], "machines": {}},
            "log": {"key": LOG.vkey(), "old_size": 0, "old_root": ""},
            "witnesses": {"need": 2, "keys": sorted(key.vkey() for key in WITNESSES)},
            "beacons": {"need": 2, "lifetime": 180, "keys": sorted(key.vkey() for key in BEACONS)},
            "vendor": {"need": 0, "keys": [], "halts": "auto"}, "passkeys": {"rp_id": "", "origins": []},
            "limits": {"life": 604800, "concurrent": 4, "output": 65536, "auto_waves_max": 10},
            "tripwires": [], "guarded": [], "addresses": {"servers": {}, "beacons": {}, "witnesses": {}}, "recovery": {"need": 0, "keys": []},
        }

    def envelope(self, *arguments, **options) -> audit.Envelope:
        return audit.Envelope.read(self.print(*arguments, **options))

    def print(self, kind: str, value: dict, names, witnesses=WITNESSES[:2], logged=True) -> bytes:
        text = text_of(value)
        keys = sorted((KEYS[name] for name in names), key=lambda key: hashlib.sha256(wire(b"ssh-ed25519", key.raw)).digest())
        blobs = [sshsig(key, text, kind) for key in keys]
        hashes = "\n".join(hashlib.sha256(each).hexdigest() for each in (text, wire(*blobs)))
        entry = f"countersign-leaf/v1\n{self.org}\n{kind}\n{hashes}\n"
        proof = self.log.add(entry.encode(), self.now, witnesses) if logged else b""
        return text + b"".join(map(armored, blobs)) + proof

    def take(self, *arguments, **options) -> str:
        envelope = self.envelope(*arguments, **options)
        self.chain.take(envelope)
        return envelope.hash

    def job(self, **changes) -> dict:
        run = {"lines": {"interpreter": "/bin/sh", "arguments": [], "lines": ["echo \"hi\"\tthere", ""]}}
        script = {"run": run, "user": "root", "folder": "/", "environment": {}, "timeout": 60, "output": 1000,
                  "memory": 0, "processes": 0, "processor": 0}
        leaf = hashlib.sha256(DEVICE.raw).digest()
        good = {
            "org": self.org, "id": "id-" + "1" * 32, "requester": "dora", "policy": self.chain.newest.hash,
            "resume": self.chain.newest_resume, "not_before": BEGIN - 10, "not_after": BEGIN + 3600, "why": "a test",
            "steps": [{"script": script}], "targets": {"list": {"count": 1, "root": audit.tree_root([leaf]).hex()}},
            "waves": [], "on_halt": "kill", "repeat": 0, "halt_above": 10000,
        }
        return {**good, **changes}

    def halt(self, scope: dict, number: int = 0) -> dict:
        return {"org": self.org, "id": "id-%032x" % number, "policy": self.chain.newest.hash, "scope": scope, "made": 0,
                "reason": "", "advisory": ""}

    def resume(self, **changes) -> dict:
        previous = [self.chain.newest_resume] if self.chain.resumes else []
        good = {"org": self.org, "policy": self.chain.newest.hash, "previous": previous, "lifts": {"halts": []},
                "cuts": {"none": {}}, "keeps": [], "why": ""}
        return {**good, **changes}

    def device(self) -> audit.Device:
        return audit.enrolled_directly(self.chain, self.envelope("enroll", self.enrollment(), ["anna", "cleo"]))

    def enrollment(self) -> dict:
        device = {"key": DEVICE.vkey(), "host_key": "", "site": "berlin", "labels": {"till": "1"}, "seq": 0, "previous": ""}
        return {"org": self.org, "id": "id-" + "2" * 32, "what": {"device": device}}

    def clear(self, beacon: MachineKey, time: int, halts=(), challenge=CHALLENGE) -> audit.ShownClear:
        return audit.ShownClear(audit.Note.read(self.clear_note(beacon, time, halts)), challenge, Clocks(0, 0), 0, 1, [])

    def clear_note(self, beacon: MachineKey, time: int, halts=()) -> bytes:
        text = f"countersign-clear/v1\n{self.org}\ntime {time}\nroot {audit.tree_root([CHALLENGE]).hex()}\n"
        text += f"policy {self.chain.newest.hash}\nresume {self.chain.newest_resume or 'none'}\n"
        text += "".join(f"halt {each}\n" for each in halts)
        return text.encode() + b"\n" + beacon.line(text.encode())

    def judge(self, job: audit.Envelope, device=None, clears=None, **local) -> str:
        """`accepted`, or the code of the refusal."""
        clears = clears if clears is not None else [self.clear(each, BEGIN + 5) for each in BEACONS[:2]]
        known = audit.Local(**{"drawn": Clocks(0, 0), "arrived": Clocks(8000, 8000), "now": Clocks(10000, 10000), "floor": BEGIN - 60, **local})
        try:
            delivery = audit.Delivery(job, [], clears, (0, []))
            audit.judge(self.chain, device or self.device(), delivery, known, lambda *_: None)
        except Refused as refused:
            return refused.code
        return "accepted"


class TheDayTheKeysAreLost(unittest.TestCase):
    """A policy by the recovery set, and the beacons' word for it ([3], "Recovery")."""

    def setUp(self):
        self.org = Organization()
        safe = {"recovery": {"need": 1, "keys": [ssh_line(LOST["safe"])]}}
        self.org.take("policy", {**self.org.policy(self.org.org, 2, [self.org.chain.newest.hash]), **safe}, ["anna", "ben"])
        self.old = self.org.chain.newest.hash
        value = self.org.policy(self.org.org, 3, [self.old])
        for name in ("anna", "ben"):
            value["people"][name]["keys"][0]["key"] = ssh_line(LOST[f"new {name}"])
        self.value = value
        self.waiting = self.org.take("policy", value, ["safe", "new anna", "new ben"])

    def word(self, *beacons: MachineKey, **changes) -> str:
        """What becomes of one note with these beacons' lines."""
        said = {"org": self.org.org, "policy": self.waiting, "after": self.old, **changes}
        text = f"countersign-recovered/v1\n{said['org']}\npolicy {said['policy']}\nafter {said['after']}\n".encode()
        try:
            return self.org.chain.take_word(audit.Note.read(text + b"\n" + b"".join(each.line(text) for each in beacons)))
        except Refused as refused:
            return refused.code

    def test_two_beacons_of_three_put_it_in_force_and_one_counts_once(self):
        self.assertEqual([self.word(each) for each in (BEACONS[0], BEACONS[0], WITNESSES[0])], ["taken", "known", "UnknownSigners"])
        self.assertEqual(self.org.chain.newest.hash, self.old)
        self.assertEqual(self.word(BEACONS[0], BEACONS[2]), "taken")
        self.assertEqual((self.org.chain.newest.hash, self.org.chain.waiting), (self.waiting, []))
        self.assertEqual([self.word(each) for each in (BEACONS[1], BEACONS[1])], ["taken", "known"])

    def test_a_note_that_says_something_else(self):
        cases = {"Organization": {"org": "org-" + "0" * 64}, "NotWaiting": {"policy": "0" * 64}, "NotNext": {"after": "0" * 64},
                 "Lines": {"after": "none"}}
        for code, change in cases.items():
            self.assertEqual(self.word(*BEACONS, **change), code)
        self.assertEqual(self.org.chain.newest.hash, self.old)

    def test_the_quorum_can_have_it_at_once_or_object(self):
        self.assertEqual(self.org.chain.take(self.org.envelope("policy", self.value, ["safe", "new anna"])), "known")
        both = ["anna", "ben", "new anna", "new ben"]
        self.assertEqual(self.org.chain.take(self.org.envelope("policy", self.value, both)), "taken")
        self.assertEqual(self.word(*BEACONS), "known")
        self.setUp()
        self.org.take("policy", self.org.policy(self.org.org, 3, [self.old]), ["anna", "ben"])
        self.assertEqual(self.word(*BEACONS), "NotWaiting")

    def test_nothing_follows_what_waits(self):
        after = {**self.value, "number": 4, "previous": [self.waiting]}
        with self.assertRaises(Refused) as refused:
            self.org.take("policy", after, ["anna", "ben", "new anna", "new ben"])
        self.assertEqual(refused.exception.code, "NotNext")
        self.word(*BEACONS)
        self.assertEqual(self.org.chain.take(self.org.envelope("policy", after, ["new anna", "new ben"])), "taken")


class TheRule(unittest.TestCase):
    def setUp(self):
        self.org = Organization()

    def judged(self, names=("dora", "anna"), witnesses=WITNESSES[:2], **changes) -> str:
        return self.org.judge(self.org.envelope("job", self.org.job(**changes), names, witnesses))

    def test_a_good_job_is_accepted(self):
        self.assertEqual(self.judged(), "accepted")

    def test_the_job_bent_in_one_place(self):
        cases = {
            "Expired": {"not_after": BEGIN + 15},
            "NotYet": {"not_before": BEGIN + 100},
            "OtherOrganization": {"org": "org-" + "0" * 64},
            "NotATarget": {"targets": {"list": {"count": 1, "root": "0" * 64}}},
            "NotLabelled": {"targets": {"labels": {"labels": {"till": "2"}, "as_of": 100, "joins": True}}},
            "EnrolledLater": {"targets": {"labels": {"labels": {"till": "1"}, "as_of": 1, "joins": False}}},
            "accepted": {"targets": {"labels": {"labels": {"till": "1"}, "as_of": 1, "joins": True}}},
            "Statement": {"requester": "do\u202era"},
            "WaveNotYet": {"waves": [{"who": {"share": 10000}, "soak": 60}]},
            "Job": {"repeat": 9},
            "UnknownPolicy": {"policy": "0" * 64},
            "UnknownResume": {"resume": "0" * 64},
        }
        for code, change in cases.items():
            self.assertEqual(self.judged(**change), code)

    def test_signatures_missing_or_by_the_wrong_people(self):
        self.assertEqual(self.judged(names=("dora",)), "Approvals")
        self.assertEqual(self.judged(names=("anna", "ben")), "NotSignedByRequester")
        self.assertEqual(self.judged(requester="anna", names=("anna",)), "Approvals")
        self.assertEqual(self.judged(requester="ben", names=("ben", "cleo")), "NotARequester")

    def test_a_witness_too_few(self):
        self.assertEqual(self.judged(witnesses=WITNESSES[:1]), "Log")
        self.assertEqual(self.judged(witnesses=WITNESSES[1:]), "accepted")

    def test_a_job_without_proof(self):
        with self.assertRaises(Refused):
            self.org.envelope("job", self.org.job(), ("dora", "anna"), logged=False)

    def test_clears_too_few_stale_apart_or_by_one_beacon(self):
        job, clear = self.org.envelope("job", self.org.job(), ("dora", "anna")), self.org.clear
        one, two, three = BEACONS
        self.assertEqual(self.org.judge(job, clears=[clear(one, BEGIN)]), "NotFresh")
        self.assertEqual(self.org.judge(job, clears=[clear(one, BEGIN), clear(one, BEGIN + 1)]), "NotFresh")
        self.assertEqual(self.org.judge(job, clears=[clear(one, BEGIN), clear(two, BEGIN + 61)]), "NotFresh")
        self.assertEqual(self.org.judge(job, clears=[clear(one, BEGIN), clear(two, BEGIN + 60)]), "accepted")
        self.assertEqual(self.org.judge(job, clears=[clear(one, BEGIN), clear(three, BEGIN)], arrived=Clocks(10000, 180000)), "NotFresh")
        fresh = [clear(one, BEGIN), clear(two, BEGIN)]
        self.assertEqual(self.org.judge(job, clears=fresh, floor=BEGIN - 86_401), "NotFresh")
        self.assertEqual(self.org.judge(job, clears=fresh, floor=BEGIN - 86_400), "accepted")
        self.assertEqual(self.org.judge(job, clears=fresh, now=Clocks(180000, 10000)), "Aged")
        self.assertEqual(self.org.judge(job, clears=fresh, now=Clocks(179999, 10000)), "accepted")
        self.assertEqual(self.org.judge(job, clears=[clear(one, BEGIN), clear(two, BEGIN, challenge=bytes(32))]), "NotFresh")

    def test_a_halt_covers_and_a_resume_lifts_and_cuts(self):
        job = self.org.envelope("job", self.org.job(), ("dora", "anna"))
        halt = self.org.take("halt", self.org.halt({"organization": {}}), ["ben"], logged=False)
        self.assertEqual(self.org.judge(job), "Halted")
        resume = self.org.resume(lifts={"halts": [halt]}, cuts={"people": ["dora"]})
        self.org.take("resume", resume, ["anna", "ben"])
        self.assertEqual(self.org.judge(job), "Cut")
        self.assertEqual(self.judged(id="id-" + "3" * 32), "accepted")

    def test_scripts_requesters_and_approvers_are_halted(self):
        job = self.org.envelope("job", self.org.job(), ("dora", "anna"))
        self.org.take("halt", self.org.halt({"person": "anna"}), ["ben"], logged=False)
        self.assertEqual(self.org.judge(job), "Approvals")
        script = hashlib.sha256(b'echo "hi"\tthere\n\n').hexdigest()
        self.org.take("halt", self.org.halt({"script": script}, 1), ["ben"], logged=False)
        self.assertEqual(self.org.judge(job), "Halted")

    def test_a_halt_by_nobody_who_may_is_refused(self):
        with self.assertRaises(Refused):
            self.org.take("halt", self.org.halt({"organization": {}}), ["dora"], logged=False)

    def test_a_beacon_may_name_only_halts_whose_text_is_held(self):
        job = self.org.envelope("job", self.org.job(), ("dora", "anna"))
        clears = [self.org.clear(each, BEGIN, halts=["0" * 64]) for each in BEACONS[:2]]
        self.assertEqual(self.org.judge(job, clears=clears), "NotFresh")

    def test_the_same_step_twice(self):
        job = self.org.envelope("job", self.org.job(), ("dora", "anna"))
        self.assertEqual(self.org.judge(job, ledger=((0, 0, "started"),)), "Again")
        steps = self.org.job()["steps"] * 2
        job = self.org.envelope("job", self.org.job(steps=steps), ("dora", "anna"))
        for state, code in (("ended-well", "accepted"), ("failed", "EarlierFailed"), ("started", "Again")):
            self.assertEqual(self.org.judge(job, ledger=((0, 0, state),)), code)

    def test_an_occurrence_that_was_begun_goes_on_before_another_begins(self):
        two = {"steps": [{}, {}]}
        well, second = (3, 0, "ended-well"), (3, 1, "ended-well")
        for ledger, asked in (((), (4, 0)), ((well,), (3, 1)), ((well, second), (4, 0)), (((3, 0, "failed"),), (4, 0))):
            self.assertEqual(audit.check_once(two, ledger, 4), asked, ledger)
        with self.assertRaises(Refused):
            audit.check_once(two, (well, (3, 1, "started")), 4)

    def test_what_no_halt_stops_needs_a_rule(self):
        self.assertEqual(self.judged(on_halt="finish"), "NoRule")

    def test_the_budget(self):
        job = self.org.envelope("job", self.org.job(), ("dora", "anna"))
        for local, code in (({"running": 4}, "Busy"), ({"receipts": 4096}, "SpoolFull"), ({"disk_full": True}, "DiskFull")):
            self.assertEqual(self.org.judge(job, **local), code)

    def test_components_below_a_version(self):
        for version, bound, below in (("0.9.0", "0.10.0", True), ("1.0", "1.0", False), ("1.0.1", "1.0", False), ("1.0", "1.0.0", True),
                                      ("1.0-rc1", "0.1", True), ("1.0", "x", True)):
            self.assertEqual(audit.is_below(version, bound), below, (version, bound))

    def test_a_second_policy_needs_both_quorums_and_the_one_before(self):
        second = self.org.policy(self.org.org, 2, [self.org.chain.newest.hash])
        for bent in ({"number": 3}, {"previous": ["0" * 64]}, {"roles": {**second["roles"], "admins": ["anna"]}}):
            with self.assertRaises(Refused):
                self.org.take("policy", {**second, **bent}, ["anna", "ben"])
        with self.assertRaises(Refused):
            self.org.take("policy", second, ["anna"])
        self.org.take("policy", second, ["anna", "cleo"])
        self.assertEqual(self.org.chain.newest.number, 2)
        self.assertEqual(self.judged(policy=self.org.chain.policies[0].hash), "accepted")

    def test_a_device_joins_a_batch(self):
        batch = {"token": TOKEN.vkey(), "site": "berlin", "labels": {}, "count": 3, "until": BEGIN + 100}
        value = {"org": self.org.org, "id": "id-" + "4" * 32, "what": {"batch": batch}}
        envelope = self.org.envelope("enroll", value, ["anna", "ben"])
        text = f"countersign-join/v1\n{self.org.org}\nbatch {envelope.hash}\ndevice {DEVICE.vkey()}\nhost \n".encode()
        entry = audit.log_entry(self.org.org, "join", hashlib.sha256(text).digest(), b"")
        proof = audit.Proof.read(self.org.log.add(entry, BEGIN))
        note = audit.Note.read(text + b"\n" + TOKEN.line(text) + DEVICE.line(text))
        device = audit.enrolled_by_join(self.org.chain, envelope, note, proof)
        self.assertEqual(self.org.judge(self.org.envelope("job", self.org.job(), ("dora", "anna")), device), "accepted")
        with self.assertRaises(Refused):
            audit.enrolled_by_join(self.org.chain, envelope, audit.Note.read(text + b"\n" + TOKEN.line(text)), proof)

    def test_time_runs_by_the_slower_clock_below_and_the_faster_above(self):
        counted = [audit.Counted(each, each.encode(), time, (), Clocks(0, 0)) for each, time in (("a", 100), ("b", 130))]
        arrived, now = Clocks(4000, 4000), Clocks(10500, 20200)
        self.assertEqual(audit.window_of(counted, arrived, now, 0), (106, 151))
        self.assertEqual(audit.window_of(counted, arrived, Clocks(10000, 1000), 120), (120, 140))
        self.assertEqual(audit.window_of(counted, arrived, now, 160), (160, 160))

    def test_minutes_count_from_monday(self):
        self.assertEqual(audit.minute_of_week(0), 3 * 1440)
        self.assertEqual(audit.minute_of_week(4 * 86400), 0)
        self.assertEqual(audit.minute_of_week(4 * 86400 - 1), 10079)


def receipt(org: str, number: int, previous: str, **changes) -> bytes:
    fields = {"number": number, "previous": previous, "job": "a" * 64, "occurrence": 0, "step": 0, "verdict": "accepted", "count": 1,
              "code": "none", "because": "", "output": "none", "kept": 0, "dropped": 0, "policy": "b" * 64, "enroll": "c" * 64, "time": BEGIN, **changes}
    text = f"countersign-receipt/v1\n{org}\n{DEVICE.name}\n" + "".join(f"{key} {value}\n" for key, value in fields.items())
    return text.encode() + b"\n" + DEVICE.line(text.encode())


class Receipts(unittest.TestCase):
    def receipt(self, *arguments, **changes) -> audit.Receipt:
        return audit.Receipt.read(receipt("org-" + "d" * 64, *arguments, **changes))

    def test_receipts_follow_each_other(self):
        first = self.receipt(1, "none")
        second = self.receipt(2, first.hash, verdict="ended", because="exit 0")
        key = audit.NoteKey.read(DEVICE.vkey())
        audit.check_receipts([first, second], "org-" + "d" * 64, key)
        unlinked = self.receipt(2, "e" * 64)
        for wrong in ([second, first], [first, first], [first, unlinked], [self.receipt(1, "e" * 64)]):
            with self.assertRaises(Refused):
                audit.check_receipts(wrong, "org-" + "d" * 64, key)


def run_audit(*arguments: str | Path) -> tuple[int, str]:
    """The exit of the program and all that it printed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = audit.main([str(each) for each in arguments])
    return code, output.getvalue()


class Bundles(unittest.TestCase):
    """A folder as `countersign audit` writes it, with two receipts in one batch."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root, org = Path(temporary.name), Organization()
        self.folder = self.root / "one"
        self.org, self.job = org, org.print("job", org.job(), ("dora", "anna"))
        now = {f"{at}_{clock}_ms": time for at, time in (("drawn", 0), ("arrived", 8000), ("now", 10000)) for clock in ("boot", "wall")}
        now |= {"floor": BEGIN - 60, "version": "0.1.0", "running": 0, "receipts": 0, "disk": "room"}
        files = {
            "org": f"{org.org}\n".encode(), "chain/000.txt": org.first, "job.txt": self.job,
            "enroll.txt": org.print("enroll", org.enrollment(), ("anna", "cleo")), "challenge": f"{CHALLENGE.hex()}\n".encode(),
            "target": b"index 0\n", "now": "".join(f"{key} {value}\n" for key, value in now.items()).encode(),
        }
        for number, beacon in enumerate(BEACONS[:2], 1):
            files[f"clears/{number}.clear"] = org.clear_note(beacon, BEGIN + 5)
            files[f"clears/{number}.path"] = b"index 0\nsize 1\n"
        self.enrolled = audit.Envelope.read(files["enroll.txt"]).hash
        self.receipts()
        for name, data in files.items():
            self.write(name, data)

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def receipts(self, **changes) -> None:
        """`accepted`, then `ended`, in a batch of two."""
        job = hashlib.sha256(self.job[: self.job.index(b"\n}\n") + 3]).hexdigest()
        held = {"job": job, "policy": self.org.chain.newest.hash, "enroll": self.enrolled}
        first = receipt(self.org.org, 1, "none", **held)
        second = receipt(self.org.org, 2, audit.Receipt.read(first).hash, **held, **{"verdict": "ended", "because": "exit 0", **changes})
        leaves = [audit.Note.read(each).text for each in (first, second)]
        entry = audit.log_entry(self.org.org, "receipts", audit.tree_root(leaves), b"")
        proof = self.org.log.add(entry, BEGIN + 30)
        for index, note in enumerate((first, second)):
            path = "".join(base64.b64encode(each).decode() + "\n" for each in path_to(index, leaves))
            self.write(f"receipts/{index + 1}.note", note)
            self.write(f"receipts/{index + 1}.path", f"index {index}\nsize 2\n{path}".encode())
            self.write(f"receipts/{index + 1}.tlog-proof", proof)

    def test_a_good_bundle_holds_and_says_who_and_how(self):
        code, output = run_audit("bundle", self.root)
        self.assertEqual(code, 0, output)
        for words in ("asked for by  dora (SHA256:", "approved by   anna (SHA256:", "ended exit 0", DEVICE.name, "1 of 1 bundles hold"):
            self.assertIn(words, output)
        code, output = run_audit("verify", self.folder)
        self.assertEqual((code, output.splitlines()[-1]), (0, "accepted"), output)

    def test_what_does_not_hold_is_said(self):
        good = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        bends = {
            "receipts/2.note": lambda data: data.replace(b"exit 0", b"exit 1"),
            "receipts/1.tlog-proof": lambda data: data.replace(b"index", b"extra AAAA\nindex").replace(b"log.example\n", b"log.other\n", 1),
            "receipts/1.path": lambda data: data.replace(b"index 0", b"index 1"),
            "clears/2.clear": lambda data: data.replace(b"time 17", b"time 16"),
            "job.txt": lambda data: data.replace(b"a test", b"a tess"),
            "org": lambda data: data.replace(b"org-", b"org-0")[:-2] + b"\n",
        }
        for name, bend in bends.items():
            path = self.folder / name
            path.write_bytes(bend(good[path]))
            self.assertNotEqual(path.read_bytes(), good[path], name)
            code, output = run_audit("verify", self.folder)
            self.assertEqual(code, 2 if name == "org" else 1, f"{name}: {output}")
            path.write_bytes(good[path])
        self.assertEqual(run_audit("verify", self.folder)[0], 0)

    def test_a_device_that_ran_what_the_rule_refuses(self):
        self.receipts(verdict="ended", because="timeout")
        self.assertEqual(run_audit("verify", self.folder)[0], 0)
        for name in ("receipts/2.note", "receipts/2.path", "receipts/2.tlog-proof"):
            (self.folder / name).unlink()
        self.write("clears/2.path", b"index 0\nsize 2\n")
        code, output = run_audit("verify", self.folder)
        self.assertIn("the device ran what the rule refuses", output)
        self.assertEqual(code, 1)

    def test_a_folder_without_bundle_cannot_be_read(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertEqual(run_audit("bundle", Path(empty))[0], 2)
            self.assertEqual(run_audit("verify", Path(empty))[0], 2)


if __name__ == "__main__":
    unittest.main()

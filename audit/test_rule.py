"""A small organization with keys made from numbers, a good job on one device, and the same bent in one place."""

import base64
import hashlib
import struct
import unittest

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
        self.take("policy", genesis, ["anna", "ben"])
        self.genesis = genesis

    def policy(self, org: str, number: int, previous: list[str]) -> dict:
        quorum = {"role": "admins", "need": 2}
        return {
            "org": org, "number": number, "previous": previous, "name": "Bäckerei",
            "people": {name: {"keys": [{"key": ssh_line(key), "same_origin": False}]} for name, key in PEOPLE.items()},
            "roles": {"admins": ["anna", "ben", "cleo"], "askers": ["anna", "dora"]},
            "rules": [{"kinds": ["script"], "labels": {"site": "berlin"}, "requesters": ["askers"], "approvers": ["admins"],
                       "approvals": 1, "properties": [], "hours": [], "waves": 0}],
            "quorums": {which: quorum for which in ("policy", "enroll", "resume", "promote")},
            "halt": {"roles": ["admins"], "machines": {}},
            "log": {"key": LOG.vkey(), "old_size": 0, "old_root": ""},
            "witnesses": {"need": 2, "keys": sorted(key.vkey() for key in WITNESSES)},
            "beacons": {"need": 2, "lifetime": 180, "keys": sorted(key.vkey() for key in BEACONS)},
            "vendor": {"need": 0, "keys": []}, "passkeys": {"rp_id": "", "origins": []},
            "limits": {"life": 604800, "concurrent": 4, "output": 65536, "auto_waves_max": 10},
            "guarded": [], "addresses": {"servers": {}, "beacons": {}, "witnesses": {}}, "recovery": {"need": 0, "keys": []},
        }

    def envelope(self, kind: str, value: dict, names, witnesses=WITNESSES[:2], logged=True) -> audit.Envelope:
        text = text_of(value)
        keys = sorted((PEOPLE[name] for name in names), key=lambda key: hashlib.sha256(wire(b"ssh-ed25519", key.raw)).digest())
        blobs = [sshsig(key, text, kind) for key in keys]
        entry = f"countersign-leaf/v1\n{self.org}\n{kind}\n{hashlib.sha256(text).hexdigest()}\n{hashlib.sha256(wire(*blobs)).hexdigest()}\n"
        proof = self.log.add(entry.encode(), self.now, witnesses) if logged else b""
        return audit.Envelope.read(text + b"".join(map(armored, blobs)) + proof)

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
            "waves": [], "on_halt": "kill", "repeat": 0,
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

    def clear(self, beacon: MachineKey, time: int, halts=(), drawn=Clocks(0, 0), challenge=CHALLENGE) -> audit.ShownClear:
        text = f"countersign-clear/v1\n{self.org}\ntime {time}\nroot {audit.tree_root([CHALLENGE]).hex()}\n"
        text += f"policy {self.chain.newest.hash}\nresume {self.chain.newest_resume or 'none'}\n"
        text += "".join(f"halt {each}\n" for each in halts)
        note = audit.Note.read(text.encode() + b"\n" + beacon.line(text.encode()))
        return audit.ShownClear(note, challenge, drawn, 0, 1, [])

    def judge(self, job: audit.Envelope, device=None, clears=None, **local) -> str:
        """`accepted`, or the code of the refusal."""
        clears = clears if clears is not None else [self.clear(each, BEGIN + 5) for each in BEACONS[:2]]
        known = audit.Local(**{"drawn": Clocks(0, 0), "arrived": Clocks(8000, 8000), "now": Clocks(10000, 10000), **local})
        try:
            audit.judge(self.chain, device or self.device(), job, clears, (0, []), known, lambda *_: None)
        except Refused as refused:
            return refused.code
        return "accepted"


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
            "WaveNotYet": {"waves": [{"share": 10000, "soak": 60}]},
            "Job": {"repeat": 1},
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
        self.assertEqual(self.org.judge(job, ledger=("started",)), "Again")
        steps = self.org.job()["steps"] * 2
        job = self.org.envelope("job", self.org.job(steps=steps), ("dora", "anna"))
        for ledger, code in ((("ended-well",), "accepted"), (("failed",), "EarlierFailed"), (("started",), "EarlierFailed")):
            self.assertEqual(self.org.judge(job, ledger=ledger), code)

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


class Receipts(unittest.TestCase):
    def receipt(self, number: int, previous: str, **changes) -> bytes:
        fields = {"number": number, "previous": previous, "job": "a" * 64, "occurrence": 0, "step": 0, "verdict": "accepted",
                  "count": 1, "because": "", "output": "none", "kept": 0, "dropped": 0, "policy": "b" * 64, "enroll": "c" * 64,
                  "time": BEGIN, **changes}
        text = f"countersign-receipt/v1\norg-{'d' * 64}\n{DEVICE.name}\n" + "".join(f"{k} {v}\n" for k, v in fields.items())
        return text.encode() + b"\n" + DEVICE.line(text.encode())

    def test_receipts_follow_each_other(self):
        first = audit.Receipt.read(self.receipt(1, "none"))
        second = audit.Receipt.read(self.receipt(2, first.hash, verdict="ended", because="exit 0"))
        key = audit.NoteKey.read(DEVICE.vkey())
        audit.check_receipts([first, second], "org-" + "d" * 64, key)
        unlinked = audit.Receipt.read(self.receipt(2, "e" * 64))
        for wrong in ([second, first], [first, first], [first, unlinked], [audit.Receipt.read(self.receipt(1, "e" * 64))]):
            with self.assertRaises(Refused):
                audit.check_receipts(wrong, "org-" + "d" * 64, key)


if __name__ == "__main__":
    unittest.main()

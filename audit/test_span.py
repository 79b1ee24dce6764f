"""The evidence of a good afternoon with fresh keys, and each way to falsify it: the auditor finds and names every one.

Whoever falsifies may write a new MANIFEST and a new timeline over what they changed: both are only a list and a page.
"""

import base64
import hashlib
import tempfile
import unittest
from functools import lru_cache
from pathlib import Path

import audit
from test_audit import MachineKey, path_to
from test_faults import NEIGHBOUR, Files, base64_lines, hash_of, write
from test_rule import BEGIN, DEVICE, LOG, WITNESSES, Organization, run_audit

ECHO = "e" * 64


class Afternoon:
    """Two devices, a job that both ran, a halt, a resume, and a job before and after: leaves 2 to 10 are of the span."""

    def __init__(self):
        self.org = org = Organization()
        self.files: Files = {"chain/000.txt": org.first}
        self.keys = {key.name: key for key in (DEVICE, NEIGHBOUR)}
        self.add(org.first)
        for number, key in enumerate((DEVICE, NEIGHBOUR)):
            device = {"key": key.vkey(), "host_key": "", "site": "berlin", "labels": {}, "seq": 0, "previous": ""}
            value = {"org": org.org, "id": f"id-{number:032x}", "what": {"device": device}}
            self.add(org.print("enroll", value, ("anna", "cleo")))
        self.ids = sorted(hashlib.sha256(key.raw).digest() for key in (DEVICE, NEIGHBOUR))
        self.tell: dict[str, list] = {name: [] for name in self.keys}
        self.old = self.job(1)
        self.mark("before", BEGIN)
        org.now = BEGIN + 1000
        self.ran = self.job(2)
        self.batch([(DEVICE, {"job": self.ran}), (NEIGHBOUR, {"job": self.ran})])
        ended = {"job": self.ran, "verdict": "ended", "because": "exit 0", "output": ECHO, "kept": 3}
        self.batch([(DEVICE, ended), (NEIGHBOUR, ended), (DEVICE, {"job": self.old})])
        self.halt = self.add(org.print("halt", {**org.halt({"organization": {}}), "made": BEGIN + 1001, "reason": "what is\nthis"}, ["ben"]))
        org.chain.take(audit.Envelope.read(self.files[f"statements/{self.halt}.txt"]))
        self.resume = self.add(org.print("resume", org.resume(lifts={"halts": [self.halt]}, cuts={"people": ["dora"]}), ("anna", "ben")))
        self.files["chain/001.txt"] = self.files[f"statements/{self.resume}.txt"]
        self.advance = self.add(org.print("advance", self.advance_of(self.ran), ("anna", "ben")))
        self.mark("after", BEGIN + 4500)
        org.now = BEGIN + 5000
        later = self.job(3)
        self.files.pop(f"statements/{later}.txt")
        self.files.pop(f"targets/{later}")
        self.mark("checkpoint", BEGIN + 5000)
        for name, shown in self.tell.items():
            items = [item for note, place in shown for item in (note, place)]
            self.files[f"receipts/{name}"] = b"".join(b"envelope %d\n" % len(item) + item for item in items)
        leaves = [entry.decode().split("\n")[2:5] for entry in org.log.entries]
        self.files["logs/0.leaves"] = "".join(" ".join(leaf) + "\n" for leaf in leaves).encode()
        self.files["span"] = f"{org.org}\nfrom {BEGIN + 500}\nuntil {BEGIN + 4000}\nof server\n".encode()

    def add(self, envelope: bytes) -> str:
        self.files[f"statements/{hash_of(envelope)}.txt"] = envelope
        return hash_of(envelope)

    def job(self, number: int, names=("dora", "anna")) -> str:
        listed = {"list": {"count": 2, "root": audit.tree_root(self.ids).hex()}}
        hash_ = self.add(self.org.print("job", self.org.job(id=f"id-{number:032x}", targets=listed, why="a \"test\""), names))
        self.files[f"targets/{hash_}"] = "".join(f"dev-{each.hex()}\n" for each in self.ids).encode()
        return hash_

    def advance_of(self, job: str) -> dict:
        return {"org": self.org.org, "id": "id-" + "6" * 32, "policy": self.org.chain.newest.hash, "resume": "", "job": job,
                "wave": 2, "root": "0" * 64, "well": 2, "failed": 0, "missing": 0, "why": ""}

    def batch(self, said: list[tuple[MachineKey, dict]]) -> None:
        """Receipts, each naming the one before of its device, in one batch in the log."""
        texts = []
        for key, changes in said:
            shown = self.tell[key.name] + [(key_text, b"") for key_, key_text in texts if key_ is key]
            previous = hashlib.sha256(audit.Note.read(shown[-1][0]).text).hexdigest() if shown else "none"
            good = {"number": len(shown) + 1, "previous": previous, "job": "none", "occurrence": 0, "step": 0, "verdict": "accepted",
                    "count": 1, "code": "none", "because": "", "output": "none", "kept": 0, "dropped": 0,
                    "policy": self.org.chain.newest.hash, "enroll": "0" * 64, "time": self.org.now}
            lines = "".join(f"{name} {value}\n" for name, value in {**good, **changes}.items())
            text = f"countersign-receipt/v1\n{self.org.org}\n{key.name}\n{lines}".encode()
            texts.append((key, text + b"\n" + key.line(text)))
        leaves = [audit.Note.read(note).text for _, note in texts]
        root = audit.tree_root(leaves)
        self.files[f"batches/{root.hex()}.tlog-proof"] = self.org.log.add(
            audit.log_entry(self.org.org, "receipts", root, b""), self.org.now)
        for index, (key, note) in enumerate(texts):
            place = f"batch {root.hex()}\nindex {index}\nsize {len(leaves)}\n".encode() + base64_lines(path_to(index, leaves))
            self.tell[key.name].append((note, place))

    def mark(self, which: str, time: int, entries=None) -> None:
        entries = self.org.log.entries if entries is None else entries
        root = base64.b64encode(audit.tree_root(entries)).decode()
        text = f"{LOG.name}\n{len(entries)}\n{root}\n".encode()
        lines = LOG.line(text) + b"".join(key.line(text, time) for key in WITNESSES[:2])
        self.files[f"logs/0.{which}"] = text + b"\n" + lines


@lru_cache(maxsize=None)
def afternoon() -> Afternoon:
    return Afternoon()


def sealed(files: Files, named=None, page=True) -> Files:
    """The same with a timeline and a MANIFEST that fit, as far as anything can be read; `named` as missing, or all that is."""
    files = {name: data for name, data in files.items() if name not in ("MANIFEST",)}
    with tempfile.TemporaryDirectory() as folder:
        evidence = audit.Evidence(write(Path(folder), {"MANIFEST": b"", **files}))
        named = audit.missing_of(evidence) if named is None else named
        if page:
            files["timeline.txt"] = audit.timeline_of(evidence).encode()
    lines = [f"# missing {line}\n" for line in named]
    lines += [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    return {**files, "MANIFEST": "".join(lines).encode()}


@lru_cache(maxsize=None)
def good() -> Files:
    return sealed(afternoon().files)


def judged(files: Files) -> tuple[list[str], list[str]]:
    """What does not hold, and what is missing."""
    with tempfile.TemporaryDirectory() as folder:
        _, faults, missing = audit.span_faults(write(Path(folder), files))
        return faults, missing


def without(files: Files, *names: str) -> Files:
    return {name: data for name, data in files.items() if name not in names}


class AGoodSpan(unittest.TestCase):
    def test_it_holds_and_the_page_says_who_asked_approved_stopped_and_ran(self):
        self.assertEqual(judged(good()), ([], []))
        page, world = good()["timeline.txt"].decode(), afternoon()
        self.assertEqual(page.count("\n"), 3 + 4 + 2 + 5 + 0, page)
        for said in (
            f"2023-11-14 22:30:01Z 0:4 job {world.ran[:12]}, signed by anna, dora, asked for by dora: a \"test\"",
            f" 0:7 halt {world.halt[:12]}, signed by ben, called by ben, stops the organization, made 2023-11-14 22:30:01Z: what is this",
            f" 0:8 resume {world.resume[:12]}, signed by anna, ben, lifts 1 halts, cuts dora, keeps 0: ",
            f" 0:9 advance {world.advance[:12]}, signed by anna, ben, wave 2 of {world.ran[:12]}, 2 well, 0 failed, 0 missing",
            f" 0:6.2 {DEVICE.name[:16]} 3 accepted job {world.old[:12]}, occurrence 0, step 1",
        ):
            self.assertIn(said, page)
        self.assertNotIn("0:3 ", page, "a job from before the span")
        self.assertNotIn("0:10 ", page, "a job from after it")

    def test_the_command_says_so_and_what_it_does_not_prove(self):
        with tempfile.TemporaryDirectory() as folder:
            code, said = run_audit("span", write(Path(folder), good()))
            self.assertEqual(code, 0, said)
            self.assertIn("holds, nothing is missing", said)
            self.assertIn("Not proven: when a halt was called", said)
            world = afternoon()
            gap = sealed(without(world.files, f"statements/{world.ran}.txt", f"targets/{world.ran}"))
            code, said = run_audit("span", write(Path(folder) / "gap", gap))
            self.assertEqual(code, 3, said)
            self.assertIn(f"MISSING: job 0:4 {world.ran}: the text of this job", said)

    def test_what_cannot_be_read_is_told_apart(self):
        for name in ("span", "MANIFEST", "logs/0.leaves", "chain/000.txt"):
            with tempfile.TemporaryDirectory() as folder:
                self.assertEqual(run_audit("span", write(Path(folder), without(good(), name)))[0], 2, name)


class Faults(unittest.TestCase):
    """Each with the MANIFEST and the timeline of the good folder, and with ones that were made to fit."""

    def found(self, files: Files, told: str) -> None:
        faults, missing = judged({**files, "MANIFEST": good()["MANIFEST"], "timeline.txt": good()["timeline.txt"]})
        self.assertTrue(any(each.startswith("MANIFEST") for each in faults), faults)
        faults, missing = judged(sealed(files, []))
        self.assertTrue(any(told in each for each in faults + missing), f"{told!r} not in {faults} nor {missing}")
        self.assertTrue(faults, "it holds")

    def receipts(self, key: MachineKey) -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return audit.read_sequence(next(iter(write(Path(folder), {"r": afternoon().files[f"receipts/{key.name}"]}).glob("r"))))

    def with_receipts(self, key: MachineKey, items: list[bytes]) -> Files:
        data = b"".join(b"envelope %d\n" % len(item) + item for item in items)
        return {**afternoon().files, f"receipts/{key.name}": data}

    def test_a_receipt_is_removed(self):
        last = self.receipts(DEVICE)[:-2]
        self.found(self.with_receipts(DEVICE, last), "missing, and MANIFEST does not say so: batch 0:6")

    def test_a_devices_chain_is_cut_in_the_middle(self):
        items = self.receipts(DEVICE)
        self.found(self.with_receipts(DEVICE, items[:2] + items[4:]), f"receipts {DEVICE.name} 2-2")

    def test_all_that_a_device_said_is_removed(self):
        world = afternoon()
        files = without(world.files, f"receipts/{NEIGHBOUR.name}")
        self.found(files, f"silent {world.ran} {NEIGHBOUR.name}")
        self.found(files, "batch 0:5")

    def test_a_receipt_is_changed(self):
        items = self.receipts(DEVICE)
        self.found(self.with_receipts(DEVICE, [items[0], items[1], items[2].replace(b"exit 0", b"exit 1"), *items[3:]]), "not signed by")

    def test_a_receipt_stands_twice_or_in_another_place(self):
        items = self.receipts(DEVICE)
        self.found(self.with_receipts(DEVICE, items[:2] + items), "proof of a clone")
        moved = [items[0], items[1].replace(b"index 0", b"index 1"), *items[2:]]
        self.found(self.with_receipts(DEVICE, moved), "does not stand in the batch")

    def test_a_receipt_of_a_device_that_nobody_enrolled(self):
        stranger = MachineKey(151, "")
        self.found({**afternoon().files, f"receipts/{stranger.name}": afternoon().files[f"receipts/{DEVICE.name}"]}, "that nothing shown enrolls")

    def test_a_batch_whose_place_is_not_shown(self):
        name = next(name for name in afternoon().files if name.startswith("batches/"))
        self.found(without(afternoon().files, name), "which is shown nowhere in the log")

    def test_a_job_is_hidden(self):
        world = afternoon()
        self.found(without(world.files, f"statements/{world.ran}.txt", f"targets/{world.ran}"), f"job 0:4 {world.ran}")

    def test_a_job_is_hidden_and_its_leaf_with_it(self):
        world = afternoon()
        lines = world.files["logs/0.leaves"].splitlines(keepends=True)
        files = without(world.files, f"statements/{world.ran}.txt", f"targets/{world.ran}")
        self.found({**files, "logs/0.leaves": b"".join(lines[:4] + lines[5:])}, "leaves are shown, it has")
        self.found({**files, "logs/0.leaves": b"".join(lines[:4] + [b"other YQ==\n"] + lines[5:])}, "have another root than witnesses signed")
        self.found({**files, "logs/0.leaves": b"".join(lines[:4] + [b"unknown 1\n"] + lines[5:])}, "leaves 0:4-4")

    def test_two_leaves_are_swapped(self):
        lines = afternoon().files["logs/0.leaves"].splitlines(keepends=True)
        lines[7], lines[8] = lines[8], lines[7]
        self.found({**afternoon().files, "logs/0.leaves": b"".join(lines)}, "have another root than witnesses signed")

    def test_an_approval_is_removed(self):
        world, name = afternoon(), f"statements/{afternoon().ran}.txt"
        text, mark, proof = world.files[name].partition(b"-----END SSH SIGNATURE-----\n")
        _, _, proof = proof.partition(b"-----END SSH SIGNATURE-----\n")
        self.found({**world.files, name: text + mark + proof}, "the proof leads to root")

    def test_a_halts_time_is_moved(self):
        world, name = afternoon(), f"statements/{afternoon().halt}.txt"
        bent = world.files[name].replace(b"%d" % (BEGIN + 1001), b"%d" % (BEGIN + 3001))
        self.assertNotEqual(bent, world.files[name])
        self.found({**world.files, name: bent}, "it holds the statement")
        self.found({**without(world.files, name), f"statements/{hash_of(bent)}.txt": bent}, "the proof leads to root")

    def test_a_halt_is_hidden(self):
        self.found(without(afternoon().files, f"statements/{afternoon().halt}.txt"), f"halt 0:7 {afternoon().halt}")

    def test_the_page_says_something_else(self):
        page = good()["timeline.txt"].replace(b"called by ben", b"called by anna")
        faults, _ = judged(sealed({**afternoon().files, "timeline.txt": page}, page=False))
        self.assertEqual(faults, ["timeline.txt does not say what the evidence says"])

    def test_the_targets_are_others(self):
        world = afternoon()
        name = f"targets/{world.ran}"
        self.found({**world.files, name: world.files[name].splitlines(keepends=True)[0]}, "not the list that was signed")
        self.found(without(world.files, name), f"targets {world.ran}")

    def test_the_span_is_bounded_by_what_no_witness_signed_then(self):
        world = afternoon()
        later = Afternoon.__new__(Afternoon)
        later.org, later.files = world.org, {}
        later.mark("before", BEGIN + 600, world.org.log.entries[:8])
        self.found({**world.files, "logs/0.before": later.files["logs/0.before"]}, "which is not before the span")
        later.mark("before", BEGIN, world.org.log.entries[:7] + [b"another"])
        self.found({**world.files, "logs/0.before": later.files["logs/0.before"]}, "have another root than witnesses signed")
        unsigned = world.files["logs/0.before"].rpartition("\u2014".encode())[0]
        self.found({**world.files, "logs/0.before": unsigned}, "that witnesses vouch for")

    def test_the_log_is_shown_shorter_than_it_was_witnessed(self):
        world = afternoon()
        shorter = Afternoon.__new__(Afternoon)
        shorter.org, shorter.files = world.org, {}
        shorter.mark("checkpoint", BEGIN + 5000, world.org.log.entries[:7])
        lines = world.files["logs/0.leaves"].splitlines(keepends=True)
        files = {**without(world.files, "logs/0.after"), "logs/0.leaves": b"".join(lines[:7]), **shorter.files}
        # What was logged later is shown, at leaves that this log does not have.
        self.found(files, "which says something else")

    def test_an_enrollment_is_hidden_although_it_came_before_the_span(self):
        world = afternoon()
        name = next(name for name, data in world.files.items() if name.startswith("statements/") and NEIGHBOUR.name.encode() in data)
        self.found(without(world.files, name), "enroll 0:2")

    def test_what_is_there_is_called_missing(self):
        faults, _ = judged(sealed(afternoon().files, ["job 0:4 " + afternoon().ran]))
        self.assertEqual([each[:45] for each in faults], ["MANIFEST says that it is missing, and it is n"])

    def test_a_file_beside_the_evidence(self):
        faults, _ = judged({**good(), "statements/notes.md": b"read this first"})
        self.assertIn("MANIFEST: statements/notes.md is not listed", faults)


if __name__ == "__main__":
    unittest.main()

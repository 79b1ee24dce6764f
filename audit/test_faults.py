"""A good evidence bundle with fresh keys, and each way to falsify it: the auditor finds and names every one.

The bundle has two policies, a halt, a lifted halt, an enrollment and a later one, a list of three targets, two waves and an advance, a
job of two steps, and the four receipts of its run. Each fault changes what stands in the folder and nothing else.
"""

import base64
import hashlib
import tempfile
import unittest
from functools import lru_cache
from pathlib import Path
from unittest import mock

import audit
from test_audit import MachineKey, path_to, text_of
from test_rule import BEACONS, BEGIN, CHALLENGE, DEVICE, KEYS, WITNESSES, Organization, run_audit

NEIGHBOUR, STRANGER = MachineKey(150, ""), MachineKey(151, "")
Files = dict[str, bytes]


def hash_of(envelope: bytes) -> str:
    return hashlib.sha256(envelope[: envelope.index(b"\n}\n") + 3]).hexdigest()


def base64_lines(path: list[bytes]) -> bytes:
    return b"".join(base64.b64encode(each) + b"\n" for each in path)


class World:
    """An organization, and the good bundle of one job on one of its devices."""

    def __init__(self):
        self.org = org = Organization()
        second = org.policy(org.org, 2, [org.chain.newest.hash])
        second["limits"]["auto_waves_max"] = 0
        self.news = [org.first, self.taken("policy", second, ("anna", "ben"))]
        self.news.append(self.taken("halt", org.halt({"script": "0" * 64}), ["ben"], logged=False))
        self.news.append(self.taken("halt", org.halt({"person": "dora"}, 1), ["ben"], logged=False))
        self.kept_back = org.print("halt", org.halt({"person": "dora"}, 2), ["cleo"], logged=False)
        self.news.append(self.taken("resume", org.resume(lifts={"halts": [hash_of(self.news[3])]}), ("anna", "ben")))
        self.first = org.print("enroll", org.enrollment(), ("anna", "cleo"))
        self.anew = org.print("enroll", self.enrollment(DEVICE, 1, hash_of(self.first)), ("anna", "cleo"))
        self.ids = sorted(hashlib.sha256(key.raw).digest() for key in (DEVICE, NEIGHBOUR, STRANGER))
        self.job = self.print_job()
        self.advance = self.print_advance(hash_of(self.job), ("anna", "ben"))

    def taken(self, *arguments, **options) -> bytes:
        envelope = self.org.print(*arguments, **options)
        self.org.chain.take(audit.Envelope.read(envelope))
        return envelope

    def enrollment(self, key: MachineKey, seq: int, previous: str) -> dict:
        device = {"key": key.vkey(), "host_key": "", "site": "berlin", "labels": {"till": "2"}, "seq": seq, "previous": previous}
        return {"org": self.org.org, "id": "id-" + "5" * 32, "what": {"device": device}}

    def print_job(self, names=("dora", "anna"), witnesses=WITNESSES[:2], **changes) -> bytes:
        targets = {"list": {"count": 3, "root": audit.tree_root(self.ids).hex()}}
        waves = [{"who": {"labels": {"till": "9"}}, "soak": 0}, {"who": {"share": 10_000}, "soak": 1}]
        good = {"targets": targets, "waves": waves, "steps": self.org.job()["steps"] * 2, **changes}
        return self.org.print("job", self.org.job(**good), names, witnesses)

    def print_advance(self, job: str, names, **changes) -> bytes:
        chain = self.org.chain
        value = {"org": self.org.org, "id": "id-" + "6" * 32, "policy": chain.newest.hash, "resume": chain.newest_resume, "job": job,
                 "wave": 2, "root": "0" * 64, "well": 1, "failed": 0, "missing": 0, "why": "", **changes}
        return self.org.print("advance", value, names)

    def receipts(self, fields: list[dict], key: MachineKey = DEVICE) -> Files:
        """Signed, each naming the one before unless its fields say otherwise, in one batch in the log."""
        notes, previous = [], "none"
        for number, changes in enumerate(fields, 1):
            good = {"number": number, "previous": previous, "job": hash_of(self.job), "occurrence": 0, "step": 0, "verdict": "accepted",
                    "count": 1, "code": "none", "because": "", "output": "none", "kept": 0, "dropped": 0, "policy": self.org.chain.newest.hash,
                    "enroll": hash_of(self.anew), "time": BEGIN}
            lines = "".join(f"{name} {value}\n" for name, value in {**good, **changes}.items())
            text = f"countersign-receipt/v1\n{self.org.org}\n{DEVICE.name}\n{lines}".encode()
            notes.append((text, text + b"\n" + key.line(text)))
            previous = hashlib.sha256(text).hexdigest()
        leaves, files = [text for text, _ in notes], {}
        proof = self.org.log.add(audit.log_entry(self.org.org, "receipts", audit.tree_root(leaves), b""), BEGIN + 30)
        for index, (_, note) in enumerate(notes):
            name = f"receipts/{fields[index].get('number', index + 1)}"
            name = name if f"{name}.note" not in files else "receipts/9"
            place = f"index {index}\nsize {len(notes)}\n".encode() + base64_lines(path_to(index, leaves))
            files |= {f"{name}.note": note, f"{name}.path": place, f"{name}.tlog-proof": proof}
        return files

    def run(self, *changes: dict) -> Files:
        """The receipts of both steps, each bent by its `changes`."""
        output = {"output": hashlib.sha256(b"hi\n").hexdigest(), "kept": 3}
        good = [{}, {"verdict": "ended", "because": "exit 0", **output}, {"step": 1}, {"step": 1, "verdict": "ended", "because": "exit 0"}]
        return self.receipts([{**each, **(changes[at] if at < len(changes) else {})} for at, each in enumerate(good)])

    def clears(self, beacons=BEACONS[:2], halts=None) -> Files:
        halts = [hash_of(self.news[2])] if halts is None else halts
        files = {}
        for number, beacon in enumerate(beacons, 1):
            files[f"clears/{number}.clear"] = self.org.clear_note(beacon, BEGIN + 5, halts)
            files[f"clears/{number}.path"] = b"index 0\nsize 1\n"
        return files

    def good(self) -> Files:
        now = {f"{at}_{clock}_ms": time for at, time in (("drawn", 0), ("arrived", 8000), ("now", 10000)) for clock in ("boot", "wall")}
        now |= {"floor": BEGIN - 60, "version": "0.1.0", "running": 0, "receipts": 0, "disk": "room"}
        index = self.ids.index(hashlib.sha256(DEVICE.raw).digest())
        return {
            "org": f"{self.org.org}\n".encode(), **{f"chain/{at:03}.txt": each for at, each in enumerate(self.news)},
            "enroll.txt": self.first, "anew/1.txt": self.anew, "job.txt": self.job, "advances/1.txt": self.advance,
            "challenge": f"{CHALLENGE.hex()}\n".encode(), "target": f"index {index}\n".encode() + base64_lines(path_to(index, self.ids)),
            "now": "".join(f"{key} {value}\n" for key, value in now.items()).encode(),
            **self.clears(), **self.run(), "receipts/2.output": b"hi\n",
        }


@lru_cache(maxsize=None)
def world() -> World:
    return World()


@lru_cache(maxsize=None)
def good_files() -> Files:
    return world().good()


def stranger_who_signs():
    """Lets a key that no policy names sign statements, under the name `stranger`."""
    return mock.patch.dict(KEYS, {"stranger": MachineKey(160, "")})


def signatures_of(envelope: bytes) -> list[bytes]:
    end = b"-----END SSH SIGNATURE-----\n"
    *blocks, _ = envelope[envelope.index(b"\n}\n") + 3 :].split(end)
    return [block + end for block in blocks]


def write(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class Faults(unittest.TestCase):
    def check(self, files: Files, command: str = "verify") -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), files)
            return run_audit(command, Path(folder))

    def seeded(self, words: str, changes: Files, gone: tuple[str, ...] = (), code: int = 1) -> None:
        """With these files changed and gone, and nothing else, the auditor says `words`."""
        files = {name: data for name, data in {**good_files(), **changes}.items() if not name.startswith(gone or ("-",))}
        self.assertNotEqual(files, good_files(), "nothing was changed")
        got, output = self.check(files)
        self.assertIn(words, output)
        self.assertEqual(got, code, output)
        self.assertEqual("DOES NOT HOLD" in output, code == 1, output)

    def bent(self, name: str, old: bytes, new: bytes) -> Files:
        data = good_files()[name]
        self.assertIn(old, data)
        return {name: data.replace(old, new, 1)}

    def test_the_untouched_bundle_holds_and_says_what_it_proves_and_what_not(self):
        code, output = self.check(good_files())
        self.assertEqual(code, 0, output)
        for words in ("Proven, if org", "[4] 1 halts are active", "[6] policy 2 is met by", "[10] advance", "[r] receipt 4: ended exit 0",
                      "2.output is the output", "Not proven:", "the device's clocks", "its receipts say"):
            self.assertIn(words, output)
        self.assertEqual(output.splitlines()[-1], "accepted")

    # The job.

    def test_a_bit_flipped_in_the_jobs_text(self):
        self.seeded("(UnknownSigners)", self.bent("job.txt", b"a test", b"a tesu"))

    def test_every_bit_of_a_line_of_the_job_counts(self):
        at = good_files()["job.txt"].index(b'"why"')
        for bit in range(0, 64, 5):
            data = bytearray(good_files()["job.txt"])
            data[at + bit // 8] ^= 1 << bit % 8
            self.seeded("DOES NOT HOLD", {"job.txt": bytes(data)})

    def test_another_job_in_its_place(self):
        self.seeded("no receipt that is shown is of this job", {"job.txt": world().print_job(why="another")}, code=1)

    def test_signatures_in_another_order(self):
        one, two = signatures_of(good_files()["job.txt"])
        self.seeded("(Unreadable)", self.bent("job.txt", one + two, two + one))

    def test_a_strangers_signature_counts_for_nobody_and_takes_nothing_from_the_job(self):
        with stranger_who_signs():
            code, output = self.check(good_files() | {"job.txt": world().print_job(names=("dora", "anna", "stranger"))})
            self.assertEqual((code, output.splitlines()[-1]), (0, "accepted"), output)
            self.seeded("(Approvals)", {"job.txt": world().print_job(names=("dora", "stranger"))})
            self.seeded("(UnknownSigners)", {"job.txt": world().print_job(names=("stranger",))})

    def test_a_strangers_signature_of_no_algorithm_makes_the_job_unreadable(self):
        with stranger_who_signs():
            job = world().print_job(names=("dora", "anna", "stranger"))
            mine = signatures_of(world().print_job(names=("stranger",)))[0]
        blob = base64.b64decode(b"".join(mine.splitlines()[1:-1]))
        bent = audit.ARMOR_BEGIN + audit.lines_of_70(blob.replace(b"ssh-ed25519", b"ssh-ed25518", 1)) + audit.ARMOR_END
        self.assertIn(mine, job)
        self.seeded("(Unreadable)", {"job.txt": job.replace(mine, bent)})

    def test_a_signature_of_another_job(self):
        other = signatures_of(world().print_job(why="another", names=["anna"]))[0]
        mine = signatures_of(world().print_job(names=["anna"]))[0]
        self.seeded("(Approvals)", self.bent("job.txt", mine, other))

    def test_an_approval_taken_away(self):
        self.seeded("(Approvals)", self.bent("job.txt", signatures_of(world().print_job(names=["anna"]))[0], b""))

    def test_a_job_that_its_requester_did_not_sign(self):
        job = world().print_job(names=("anna", "ben"))
        held = {"job": hash_of(job)}
        files = {"job.txt": job, "advances/1.txt": world().print_advance(hash_of(job), ("anna", "ben"))} | world().run(held, held, held, held)
        self.seeded("(NotSignedByRequester)", files)

    def test_a_proof_of_another_leaf(self):
        job, advance = good_files()["job.txt"], good_files()["advances/1.txt"]
        proof = advance.index(b"c2sp.org/")
        self.seeded("the proof leads to root", {"job.txt": job[: job.index(b"c2sp.org/")] + advance[proof:]})

    def test_a_checkpoint_with_one_cosignature_too_few(self):
        job = good_files()["job.txt"]
        self.seeded("(Log)", {"job.txt": job[: job.rindex("\u2014 ".encode())]})

    def test_a_cosignature_by_a_stranger_in_the_name_of_a_witness(self):
        job = good_files()["job.txt"]
        checkpoint = job[job.rindex(b"\n\nlog.example\n") + 2 : job.rindex(b"\n\n") + 1]
        forged = MachineKey(152, WITNESSES[1].name, 4).line(checkpoint, BEGIN)
        self.seeded("(Log)", {"job.txt": job[: job.rindex("\u2014 ".encode())] + forged})

    # The chain.

    def test_a_policy_missing_in_the_chain(self):
        self.seeded("the device ran what the rule refuses", {}, gone=("chain/001",))

    def test_a_policy_that_one_person_signed(self):
        org = world().org
        second = org.policy(org.org, 2, [hash_of(org.first)])
        second["limits"]["auto_waves_max"] = 0
        self.seeded("(NotFresh)", {"chain/001.txt": org.print("policy", second, ["anna"])})

    def test_the_genesis_of_another_organization(self):
        self.seeded("the genesis policy is refused", {"chain/000.txt": genesis_of_another()}, code=2)

    def test_another_organizations_id(self):
        self.seeded("the genesis policy is refused", {"org": b"org-" + b"0" * 64 + b"\n"}, code=2)

    def test_a_halt_taken_away_that_the_beacons_name(self):
        self.seeded("whose text is not here", {}, gone=("chain/002",))

    def test_a_halt_that_was_kept_back(self):
        self.seeded("(Halted)", {"chain/005.txt": world().kept_back})

    def test_a_resume_taken_away(self):
        self.seeded("(NotFresh)", {}, gone=("chain/004",))

    # The device.

    def test_the_enrollment_of_another_device(self):
        org = world().org
        other = org.print("enroll", world().enrollment(NEIGHBOUR, 0, ""), ("anna", "cleo"))
        self.seeded(f"not signed by {NEIGHBOUR.name}", {"enroll.txt": other})

    def test_an_enrollment_by_one_who_may_not_alone(self):
        self.seeded("(NotEnrolled)", {"enroll.txt": world().org.print("enroll", world().org.enrollment(), ["anna"])})

    def test_the_later_enrollment_taken_away(self):
        self.seeded("the device accepted it under policy", {}, gone=("anew",))

    def test_a_device_that_has_left(self):
        org = world().org
        value = {"org": org.org, "id": "id-" + "7" * 32, "what": {"retire": {"device": DEVICE.name}}}
        self.seeded("(Retired)", {"anew/2.txt": org.print("enroll", value, ("anna", "cleo"))})

    def test_the_place_of_another_device_in_the_list(self):
        index = world().ids.index(hashlib.sha256(NEIGHBOUR.raw).digest())
        place = f"index {index}\n".encode() + base64_lines(path_to(index, world().ids))
        self.seeded("(NotATarget)", {"target": place})

    # Clears.

    def test_a_clear_by_a_stranger_in_the_name_of_a_beacon(self):
        forged = world().org.clear_note(MachineKey(153, BEACONS[1].name), BEGIN + 5, [hash_of(world().news[2])])
        self.seeded("signed by no beacon", {"clears/2.clear": forged})

    def test_a_clear_too_few(self):
        self.seeded("(NotFresh)", {}, gone=("clears/2",))

    def test_one_beacon_twice(self):
        self.seeded("its beacon has spoken already", world().clears([BEACONS[0], BEACONS[0]]))

    def test_a_clear_with_another_time(self):
        self.seeded("signed by no beacon", self.bent("clears/1.clear", b"time 17", b"time 16"))

    def test_a_clear_without_its_halt(self):
        halt = hash_of(world().news[2]).encode()
        self.seeded("signed by no beacon", self.bent("clears/1.clear", b"halt " + halt + b"\n", b""))

    def test_clears_that_answer_another_challenge(self):
        self.seeded("no path from my challenge", {"challenge": b"1" * 64 + b"\n"})

    # The advance.

    def test_an_advance_taken_away(self):
        self.seeded("(WaveNeedsAdvance)", {}, gone=("advances",))

    def test_an_advance_of_another_job_or_wave(self):
        for advance in (world().print_advance("1" * 64, ("anna", "ben")), world().print_advance(hash_of(world().job), ("anna", "ben"), wave=3)):
            self.seeded("(WaveNeedsAdvance)", {"advances/1.txt": advance})

    def test_an_advance_by_too_few(self):
        self.seeded("(Advance)", {"advances/1.txt": world().print_advance(hash_of(world().job), ["anna"])})

    def test_an_advance_that_is_none_hides_no_good_one(self):
        code, output = self.check({**good_files(), "advances/0.txt": b"nonsense\n"})
        self.assertEqual(code, 0, output)
        self.seeded("(Advance)", {"advances/1.txt": b"nonsense\n"})

    # Receipts.

    def test_a_receipt_with_other_words(self):
        self.seeded("receipt 4 is not signed by", self.bent("receipts/4.note", b"exit 0", b"exit 1"))

    def test_receipts_by_a_forged_key(self):
        forged = MachineKey(154, DEVICE.name)
        self.seeded("receipt 1 is not signed by", world().receipts([{}], forged), gone=tuple(f"receipts/{n}" for n in (2, 3, 4)))

    def test_a_gap_in_the_numbers(self):
        files = world().run({}, {}, {"number": 4}, {"number": 5})
        self.seeded("receipt 4 names receipt 2 as the one before: a gap", files, gone=("receipts/3",))

    def test_a_receipt_that_names_another_before_it(self):
        self.seeded("receipt 3 names 1111", world().run({}, {}, {"previous": "1" * 64}))

    def test_a_first_receipt_that_follows_another(self):
        self.seeded("receipt 1 follows 1111", world().run({"previous": "1" * 64}))

    def test_two_receipts_of_one_number(self):
        files = world().run({}, {}, {"number": 2}, {"number": 3})
        self.seeded("two receipts have the number 2", files, gone=("receipts/3", "receipts/4"))

    def test_a_receipt_under_the_number_of_another(self):
        files = good_files()
        swapped = {f"receipts/7.{end}": files[f"receipts/4.{end}"] for end in ("note", "path", "tlog-proof")}
        self.seeded("receipt 4 is called 7.note", swapped, gone=("receipts/4",))

    def test_a_receipt_at_the_place_of_another(self):
        self.seeded("the proof leads to root", {"receipts/3.path": good_files()["receipts/4.path"]})

    def test_a_receipt_in_no_batch(self):
        self.seeded("receipt 4 is shown in no batch", {}, gone=("receipts/4.tlog-proof",))

    def test_a_batch_that_is_not_in_the_log(self):
        advance = good_files()["advances/1.txt"]
        self.seeded("the proof leads to root", {"receipts/4.tlog-proof": advance[advance.index(b"c2sp.org/") :]})

    def test_an_output_that_does_not_match_its_hash(self):
        self.seeded("receipt 2 names the output", {"receipts/2.output": b"ho\n"})

    def test_an_end_without_a_beginning(self):
        self.seeded("none shows that it was accepted", {}, gone=("receipts/1", "receipts/2.output"))

    def test_a_refusal_of_what_the_rule_accepts(self):
        files = world().receipts([{"verdict": "refused", "code": "disk_full", "because": "the disk is full"}])
        self.seeded("the device refused what the rule accepts", files, gone=tuple(f"receipts/{n}" for n in (2, 3, 4)))

    def test_a_step_without_an_end_is_said_and_breaks_nothing(self):
        code, output = self.check({name: data for name, data in good_files().items() if not name.startswith("receipts/4")})
        self.assertEqual(code, 0, output)
        self.assertIn("how step 2 of occurrence 0 ended", output)

    def test_hidden_receipts_are_counted(self):
        files = world().run({"number": 3, "previous": "2" * 64}, {"number": 4}, {"number": 7, "previous": "3" * 64}, {"number": 8})
        good = {name: data for name, data in good_files().items() if not name.startswith("receipts/")}
        code, output = self.check({**good, **files})
        self.assertEqual(code, 0, output)
        self.assertIn("its receipts 1 to 2, 5 to 6 are of other jobs, hidden or lost", output)

    # Several bundles.

    def test_a_clone_is_found_across_bundles(self):
        """Two machines with one key: each bundle holds, both together cannot."""
        files = good_files()
        other = {name: data for name, data in files.items() if not name.startswith("receipts")} | world().run({"time": BEGIN + 1})
        both = lambda second: {f"{at}/{name}": data for at, each in (("a", files), ("b", second)) for name, data in each.items()}
        code, output = self.check(both(files), "bundle")
        self.assertEqual(code, 0, output)
        self.assertIn("4 receipts, none missing between them", output)
        code, output = self.check(both(other), "bundle")
        self.assertIn("2 of 2 bundles hold", output)
        self.assertIn("two receipts have the number 1", output)
        self.assertEqual(code, 1, output)


def genesis_of_another() -> bytes:
    genesis = world().org.policy("", 1, [])
    return world().org.print("policy", {**genesis, "name": "Thieves"}, ("anna", "ben"))


class Words(unittest.TestCase):
    def test_help_has_examples(self):
        code, output = run_audit("--help")
        self.assertEqual(code, 0)
        for words in ("For example:", "audit.py verify evidence", "audit.py vectors crates/trust/vectors", "Exit: 0 it holds"):
            self.assertIn(words, output)

    def test_another_printer_writes_the_same_text(self):
        value = world().org.policy("", 1, [])
        self.assertEqual(audit.read_text("policy", text_of(value)), value)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Checks a proof file and a consistency proof of the ledger by the specifications alone: C2SP signed-note,
tlog-checkpoint and tlog-proof, RFC 9162 sections 2.1.3.2 and 2.1.4.2. It shares no code with the program.

usage: verify_tlog.py VERIFIER PROOF-FILE CONSISTENCY.json OLD-CHECKPOINT NEW-CHECKPOINT
"""
import base64, hashlib, json, subprocess, sys, tempfile

b64 = base64.b64decode
leaf = lambda data: hashlib.sha256(b"\0" + data).digest()
node = lambda left, right: hashlib.sha256(b"\1" + left + right).digest()


def open_note(note, verifier):
    name, key_id, key = verifier.split("+", 2)
    key = b64(key)
    assert key[0] == 1 and len(key) == 33, "the log's key is not Ed25519"
    assert hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_id, "key id"
    text, signatures = note.split("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, blob = line.split(" ")
        blob = b64(blob)
        if dash == "\u2014" and signer == name and blob[:4].hex() == key_id:
            spki = bytes.fromhex("302a300506032b6570032100") + key[1:]
            with tempfile.NamedTemporaryFile() as k, tempfile.NamedTemporaryFile() as s, tempfile.NamedTemporaryFile() as m:
                for file, data in ((k, spki), (s, blob[4:]), (m, text.encode())):
                    file.write(data)
                    file.flush()
                subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey", k.name,
                                "-sigfile", s.name, "-in", m.name], check=True, stdout=subprocess.DEVNULL)
            origin, size, root = text.splitlines()[:3]
            assert origin == name, "origin"
            return int(size), b64(root)
    raise SystemExit("no signature by the log's key")


def included(index, size, data, path, root):
    fn, sn, r = index, size - 1, leaf(data)
    for p in path:
        assert sn > 0, "the path is too long"
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0 and r == root, "the entry is not in the tree"


def consistent(first, first_root, second, second_root, path):
    path = ([first_root] if first & (first - 1) == 0 else []) + path
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        assert sn > 0, "the path is too long"
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0 and fr == first_root and sr == second_root, "the newer tree does not go on from the older"


verifier, proof_file, consistency_file, old_file, new_file = sys.argv[1:]
head, note = open(proof_file, encoding="utf-8").read().split("\n\n", 1)
lines = head.splitlines()
assert lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index ")
size, root = open_note(note, verifier)
included(int(lines[2][6:]), size, b64(lines[1][6:]), [b64(line) for line in lines[3:]], root)
proof = json.load(open(consistency_file))
(old_size, old_root), (new_size, new_root) = (open_note(open(f, encoding="utf-8").read(), verifier) for f in (old_file, new_file))
head = lambda size, root: f"{size}:{base64.b64encode(root).decode()}"
assert (proof["old"], proof["new"]) == (head(old_size, old_root), head(new_size, new_root)), "other checkpoints"
consistent(old_size, old_root, new_size, new_root, [b64(p) for p in proof["proof"]])
print("checkpoint, inclusion and consistency hold")

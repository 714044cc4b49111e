import assert from "node:assert/strict";
import { test } from "node:test";
import { sha256, sha256InJavaScript } from "../src/sha256.js";

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const text = (characters) => new TextEncoder().encode(characters);
// FIPS 180-4's examples.
const KNOWN = {
  "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  abc: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq:
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
};

for (const [message, digest] of Object.entries(KNOWN)) {
  test(`the digest of '${message}' is that of the standard`, async () => {
    assert.equal(hex(sha256InJavaScript(text(message))), digest);
    assert.equal(await sha256(text(message)), digest);
  });
}

test("a million letters have the digest of the standard", () => {
  const expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  assert.equal(hex(sha256InJavaScript(text("a".repeat(1e6)))), expected);
});

test("it is the platform's digest at every length around a block's end, in a part of a buffer too", async () => {
  const all = Uint8Array.from({ length: 200 }, (_, i) => (i * 37) % 256);
  for (let length = 0; length < 150; length++) {
    const part = all.subarray(3, 3 + length);
    assert.equal(hex(sha256InJavaScript(part)), await sha256(part), String(length));
  }
});

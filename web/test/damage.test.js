// Documents that were damaged at random are read, or refused by a code; nothing else happens.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LolvitError, readManifest } from "../src/index.js";
import { manifestOf, readJson } from "./environment.js";

const VALUES = [null, true, "", "x".repeat(5000), "__proto__", -1, 0, 0.5, 1e308, [], {}, [[]], [null], "crop", 4294967296];
const TIMES = 1500;

function generator(seed) {
  let x = seed;
  return (count) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 2 ** 32) * count);
  };
}

/** Change, remove, repeat or exchange a value somewhere in a document, in place. */
function damage(document, random) {
  let [owner, key] = [{ document }, "document"];
  for (let depth = random(8); depth >= 0; depth--) {
    const value = owner[key];
    const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
    if (keys.length === 0) break;
    [owner, key] = [value, keys[random(keys.length)]];
  }
  const action = random(3);
  if (action === 0) delete owner[key];
  else if (action === 1 && Array.isArray(owner)) owner.push(owner[key]);
  else owner[key] = structuredClone(VALUES[random(VALUES.length)]);
}

for (const name of ["classification", "detection", "segmentation", "schema 1"]) {
  test(`a damaged manifest is read or refused: ${name}`, async () => {
    const whole = name === "schema 1" ? await readJson("../../tests/fixtures/manifest-1.json") : manifestOf(name);
    const random = generator(name.length);
    const codes = new Map();
    for (let time = 0; time < TIMES; time++) {
      const changed = JSON.parse(JSON.stringify(whole));
      for (let count = random(3); count >= 0; count--) damage(changed, random);
      const document = JSON.parse(JSON.stringify(changed)); // without holes in lists
      let code = "read";
      try {
        const spec = readManifest(document, "m");
        assert.ok(spec.classes >= 1 && spec.preprocessing.size.every((side) => side >= 1));
      } catch (error) {
        assert.ok(error instanceof LolvitError, `${error.stack} of ${JSON.stringify(document).slice(0, 2000)}`);
        assert.ok(error.message.length < 2000);
        code = error.code;
      }
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    assert.ok(codes.get("read") > 50 && codes.get("manifest_invalid") > 100, JSON.stringify([...codes]));
  });
}

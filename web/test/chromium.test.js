// Every other test of this folder, in a headless Chromium.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { evaluateIn, findChromium, serving } from "./browser/chromium.js";

const OWN = "chromium.test.js";
const repository = fileURLToPath(new URL("../../", import.meta.url));
const program = findChromium();
const missing = "no Chromium found; on Debian, run: apt install chromium";
const skip = program || process.env.CI === "true" ? false : missing;

test("the tests pass in a headless Chromium", { skip }, async (context) => {
  assert.ok(program, missing);
  const files = await readdir(new URL(".", import.meta.url));
  const names = files.filter((name) => name.endsWith(".test.js") && name !== OWN).sort();
  const query = new URLSearchParams(names.map((name) => ["test", name]));
  const results = await serving(repository, (address) =>
    evaluateIn(program, `${address}/web/test/browser/index.html?${query}`, "window.results"),
  );
  assert.ok(results.length > names.length);
  for (const { name, failure } of results) {
    await context.test(name, () => assert.equal(failure, undefined));
  }
});

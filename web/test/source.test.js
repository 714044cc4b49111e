// A model's folder by URL: only what its manifest describes is opened, and only unchanged.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelSource } from "../src/index.js";
import { sha256 } from "../src/sha256.js";
import { failureOf, manifestOf, serving } from "./environment.js";

const FOLDER = "https://example.org/models/a%20b/";
const BYTES = Uint8Array.of(1, 2, 3, 4);
const manifest = manifestOf("detection");
manifest.artifacts[0].sha256 = await sha256(BYTES);
const [ARTIFACT] = manifest.artifacts;

function source(files) {
  const named = Object.entries(files).map(([name, content]) => [FOLDER + name, content]);
  return new ModelSource(FOLDER, { fetch: serving(Object.fromEntries(named)) });
}

test("a folder's manifest and artifact are read, with and without a slash at its end", async () => {
  const files = { "manifest.json": JSON.stringify(manifest), "model-fp32.onnx": BYTES };
  const spec = await source(files).load();
  assert.equal(spec.url, `${FOLDER}manifest.json`);
  assert.deepEqual(await source(files).read(spec.artifacts[0]), BYTES);
  assert.equal(new ModelSource(FOLDER.slice(0, -1)).folder.href, FOLDER);
});

test("the progress of a download goes to 1", async () => {
  const shares = [];
  await source({ "model-fp32.onnx": BYTES }).read(ARTIFACT, (share) => shares.push(share));
  assert.equal(shares.at(-1), 1);
});

const html = () => new Response("<html>", { headers: { "Content-Type": "text/html" } });
const MANIFESTS = [
  ["manifest_missing", /a%20b\/: no manifest.json here \(404 Not Found\)/, {}],
  ["manifest_missing", /the server answers with a web page/, { "manifest.json": html() }],
  ["unreadable", /cannot be read: connection refused; check the network/, { "manifest.json": new TypeError("connection refused") }],
  ["out_of_memory", /not enough memory for https:/, { "manifest.json": new RangeError("Array buffer allocation failed") }],
  ["manifest_invalid", /manifest.json: not JSON: /, { "manifest.json": "{" }],
  ["manifest_invalid", /not JSON: /, { "manifest.json": Uint8Array.of(0xff, 0xfe, 0x7b) }],
  ["manifest_invalid", /the document is not an object/, { "manifest.json": "[]" }],
];
for (const [code, message, files] of MANIFESTS) {
  test(`a manifest that can't be read is ${code}: ${message.source}`, async () => {
    const failure = await failureOf(() => source(files).load());
    assert.equal(failure.code, code);
    assert.match(failure.message, message);
  });
}

const ARTIFACTS = [
  ["artifact_missing", /model-fp32.onnx: missing \(404 Not Found\)/, undefined],
  ["artifact_changed", /3 bytes instead of 4/, BYTES.subarray(1)],
  ["artifact_changed", /5 bytes instead of 4/, new Uint8Array(1000)],
  ["artifact_changed", /another sha256/, Uint8Array.of(1, 2, 3, 5)],
];
for (const [code, message, content] of ARTIFACTS) {
  test(`an artifact that is not the manifest's is ${code}: ${message.source}`, async () => {
    const failure = await failureOf(() => source({ "model-fp32.onnx": content }).read(ARTIFACT));
    assert.equal(failure.code, code);
    assert.match(failure.message, message);
  });
}

test("a file that is longer than its manifest says is not downloaded to its end", async () => {
  let sent = 0;
  const endless = new ReadableStream({
    pull(controller) {
      sent++;
      controller.enqueue(new Uint8Array(1000));
    },
  });
  const failure = await failureOf(() => source({ "model-fp32.onnx": new Response(endless) }).read(ARTIFACT));
  assert.equal(failure.code, "artifact_changed");
  assert.ok(sent < 10);
});

for (const path of ["../other.onnx", "/etc/passwd", "a//b", "a\\b", "./a", "", "a/.."]) {
  test(`the path '${path}' leaves the folder`, async () => {
    const failure = await failureOf(() => source({}).read({ ...ARTIFACT, path }));
    assert.equal(failure.code, "path_leaves_folder");
  });
}

for (const path of ["https://example.com/x", "https:evil", "a?b#c", "ü.onnx", "%2e%2e/x"]) {
  test(`the path '${path}' is a file's name, not a part of a URL`, () => {
    const { href } = source({}).url(path.replaceAll("//", "/"));
    assert.ok(href.startsWith(FOLDER), href);
    assert.doesNotMatch(href.slice(FOLDER.length), /[?#:]/);
  });
}

test("without a self-check there is none; one that is not JSON is an error", async () => {
  assert.equal(await source({}).selfCheck(), null);
  assert.equal((await failureOf(() => source({ "self-check.json": "?" }).selfCheck())).code, "manifest_invalid");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { LolvitError, MESSAGES } from "../src/index.js";
import { engineError } from "../src/errors.js";

test("every message is one line that ends with what to do, without stray braces", () => {
  assert.ok(Object.keys(MESSAGES).length > 20);
  for (const [code, template] of Object.entries(MESSAGES)) {
    assert.match(code, /^[a-z_0-9]+$/);
    assert.doesNotMatch(template.replace(/\{\w+\}/g, ""), /[{}\n]/);
  }
});

test("a message is translated by its code and details", () => {
  const error = new LolvitError("photo_too_elongated", { width: 9, height: 9000 });
  assert.equal(error.message, "a photo of 9x9000 is too elongated; crop it first");
  assert.equal(error.format("{width} mal {height} ist zu schmal"), "9 mal 9000 ist zu schmal");
  assert.equal(error.format("{other}"), "{other}");
  assert.ok(error instanceof Error);
});

test("nothing that a file contains becomes a second line, a control character or a template", () => {
  const error = new LolvitError("manifest_invalid", { url: "a\nb\u001b[31m\u202e{reason}", reason: "x".repeat(1e6) });
  assert.match(error.message, /^a b\?\[31m\?\{reason\}: x+; export the model again$/);
  assert.ok(error.message.length < 1000);
});

test("whatever a runtime throws becomes an error with a code", () => {
  const context = { engine: "ort-web-wasm", path: "a.onnx" };
  const code = (thrown) => engineError("load_failed", thrown, context).code;
  for (const memory of [new RangeError("Array buffer allocation failed"), new Error("std::bad_alloc"),
    new RangeError("WebAssembly.Memory(): could not allocate memory: Out of memory"), "failed to allocate a buffer"]) {
    assert.equal(code(memory), "out_of_memory");
  }
  assert.equal(code(12345), "load_failed");
  assert.equal(code(new Error("no such operation")), "load_failed");
  assert.equal(code(new LolvitError("closed")), "closed");
  assert.match(engineError("load_failed", new Error(""), context).message, /failed without a message/);
});

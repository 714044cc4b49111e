// In a browser, in place of `node:assert/strict`: what the tests use of it.
function fail(message, found, expected) {
  throw new Error(`${message ?? "not equal"}: ${text(found)}, not ${text(expected)}`);
}

function text(value) {
  return value instanceof RegExp || typeof value === "undefined" ? String(value) : JSON.stringify(value)?.slice(0, 500);
}

function same(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [first, second] = [Object.keys(a), Object.keys(b)];
  return first.length === second.length && first.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

export default {
  ok: (value, message) => value || fail(message, value, "true"),
  equal: (a, b, message) => Object.is(a, b) || fail(message, a, b),
  deepEqual: (a, b, message) => same(a, b) || fail(message, a, b),
  match: (value, pattern, message) => pattern.test(value) || fail(message, value, pattern),
  doesNotMatch: (value, pattern, message) => !pattern.test(value) || fail(message, value, pattern),
};

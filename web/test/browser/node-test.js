// In a browser, in place of `node:test`: what the tests use of it.
const registered = [];

export function test(name, options, action = options) {
  registered.push({ name, action, skip: options.skip === true });
}

/** Run all registered tests; give each one's name and, where it failed, why. */
export async function runAll() {
  const results = [];
  for (const { name, action, skip } of registered) {
    if (skip) continue;
    try {
      await action();
      results.push({ name });
    } catch (error) {
      results.push({ name, failure: String(error?.stack ?? error) });
    }
  }
  return results;
}

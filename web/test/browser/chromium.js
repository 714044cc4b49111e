// A headless Chromium, driven by DevTools through a pipe, and a server of the repository's files.
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, extname, join, normalize } from "node:path";

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

/** The Chromium that the environment variable CHROMIUM names, or the first on the path. */
export function findChromium() {
  const names = process.env.CHROMIUM ? [process.env.CHROMIUM] : PROGRAMS;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = names.flatMap((name) => (name.includes("/") ? [name] : folders.map((folder) => join(folder, name))));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Serve a folder while `action` runs; it gets the server's address. */
export async function serving(folder, action) {
  const server = createServer(async (request, answer) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    try {
      const content = await readFile(join(folder, path));
      answer.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" });
      answer.end(content);
    } catch {
      answer.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await action(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The value of an expression, or of its promise, in a page that has been loaded. */
export async function evaluateIn(program, url, expression) {
  const profile = await mkdtemp(join(tmpdir(), "lolvit-web-"));
  const flags = [
    "--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update",
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), // its sandbox doesn't run as root
  ];
  const child = spawn(program, [...flags, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true,
  });
  try {
    const devTools = new DevTools(child);
    const { targetId } = await devTools.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await devTools.send("Target.attachToTarget", { targetId, flatten: true });
    await devTools.send("Page.enable", {}, sessionId);
    const loaded = devTools.next("Page.loadEventFired");
    await devTools.send("Page.navigate", { url }, sessionId);
    await loaded;
    const parameters = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await devTools.send("Runtime.evaluate", parameters, sessionId);
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  } finally {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, "SIGKILL");
      await ended;
    }
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class DevTools {
  #child;
  #number = 0;
  #pending = new Map();
  #events = new Map();
  #text = "";

  constructor(child) {
    this.#child = child;
    child.stdio[4].setEncoding("utf8");
    child.stdio[4].on("data", (part) => this.#receive(part));
    child.once("exit", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("Chromium has ended"));
    });
  }

  #receive(part) {
    const messages = (this.#text + part).split("\0");
    this.#text = messages.pop();
    for (const { id, method, result, error } of messages.map((text) => JSON.parse(text))) {
      this.#events.get(method)?.();
      const waiting = this.#pending.get(id);
      this.#pending.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  next(event) {
    return new Promise((resolve) => this.#events.set(event, resolve));
  }
}

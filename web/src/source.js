import { LolvitError, isOutOfMemory, reasonOf } from "./errors.js";
import { readManifest } from "./manifest.js";
import { sha256 } from "./sha256.js";

const MANIFEST = "manifest.json";
const SELF_CHECK = "self-check.json";
const LARGEST_DOCUMENT = 64 * 2 ** 20; // bytes

/**
 * A model's folder on a web server: `manifest.json` and the artifacts that it names. Nothing outside
 * of the folder is fetched.
 *
 * @example
 * const source = new ModelSource("models/lolvit_x-256x256");
 * const spec = await source.load();
 */
export class ModelSource {
  #fetch;

  /**
   * @param {string | URL} folder its URL, absolute or relative to the page or worker
   * @param {{ fetch?: typeof globalThis.fetch }} [options] `fetch`: in place of the browser's, for
   *   headers or a cache of the app's own
   */
  constructor(folder, { fetch } = {}) {
    const text = String(folder);
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    try {
      /** @readonly */
      this.folder = new URL(/[/]$/.test(text) ? text : `${text}/`, base);
    } catch (error) {
      throw new LolvitError("option_invalid", { option: "the folder", value: text, expected: "a URL" }, error);
    }
    this.#fetch = fetch ?? globalThis.fetch.bind(globalThis);
  }

  /**
   * The URL of a file of the folder.
   *
   * @param {string} path relative to it
   * @throws {LolvitError} the path leaves the folder
   */
  url(path) {
    const parts = path.split("/");
    if (path.includes("\\") || parts.some((part) => ["", ".", ".."].includes(part))) {
      throw new LolvitError("path_leaves_folder", { url: this.folder.href, path });
    }
    return new URL(parts.map(encodeURIComponent).join("/"), this.folder);
  }

  /**
   * Read the manifest.
   *
   * @returns {Promise<ModelSpec>}
   * @throws {LolvitError} it is missing or invalid, or asks for what this library does not implement
   */
  async load() {
    const url = this.url(MANIFEST);
    const bytes = await this.#download(url, LARGEST_DOCUMENT, "manifest_missing");
    return readManifest(parsed(bytes, url), url.href);
  }

  /**
   * Read the document of the self-check.
   *
   * @returns {Promise<{ json: unknown, url: string } | null>} null: the folder has none
   * @throws {LolvitError} it is not JSON, or can't be read
   */
  async selfCheck() {
    const url = this.url(SELF_CHECK);
    try {
      const bytes = await this.#download(url, LARGEST_DOCUMENT, "artifact_missing");
      return { json: parsed(bytes, url), url: url.href };
    } catch (error) {
      if (error instanceof LolvitError && error.code === "artifact_missing") return null;
      throw error;
    }
  }

  /**
   * Fetch an artifact, and check its size and sha256: runtimes crash on damaged files.
   *
   * @param {ArtifactSpec} artifact
   * @param {(share: number) => void} [onProgress] called with the share that has arrived, 0 to 1
   * @returns {Promise<Uint8Array>}
   * @throws {LolvitError} it is missing, was cut short or was changed
   */
  async read(artifact, onProgress) {
    const url = this.url(artifact.path);
    const bytes = await this.#download(url, artifact.bytes, "artifact_missing", onProgress);
    const changed = (/** @type {string} */ reason) =>
      new LolvitError("artifact_changed", { url: url.href, reason });
    if (bytes.length !== artifact.bytes) {
      throw changed(`${bytes.length} bytes instead of ${artifact.bytes}`);
    }
    if ((await sha256(bytes)) !== artifact.sha256) throw changed("another sha256");
    return bytes;
  }

  /**
   * At most one byte more than `limit`, which tells that a file is longer.
   *
   * @param {URL} url
   * @param {number} limit in bytes
   * @param {"manifest_missing" | "artifact_missing"} missing
   * @param {(share: number) => void} [onProgress]
   */
  async #download(url, limit, missing, onProgress) {
    try {
      // Servers of single-page apps answer with their page where no file is.
      const answer = await this.#fetch(url, { headers: { Accept: "application/json, application/octet-stream" } });
      const isPage = answer.headers.get("Content-Type")?.startsWith("text/html");
      if (!answer.ok || isPage) {
        const reason = answer.ok ? "the server answers with a web page" : `${answer.status} ${answer.statusText}`.trim();
        throw new LolvitError(missing, { url: missing === "manifest_missing" ? this.folder.href : url.href, reason });
      }
      return await readUpTo(answer, limit + 1, (count) => onProgress?.(Math.min(1, count / limit)));
    } catch (error) {
      if (error instanceof LolvitError) throw error;
      if (isOutOfMemory(error)) throw new LolvitError("out_of_memory", { what: url.href }, error);
      throw new LolvitError("unreadable", { url: url.href, reason: reasonOf(error) }, error);
    }
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {URL} url
 * @returns {unknown}
 */
function parsed(bytes, url) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = `not JSON: ${reasonOf(error)}`;
    throw new LolvitError("manifest_invalid", { url: url.href, reason }, error);
  }
}

/**
 * @param {Response} answer
 * @param {number} limit
 * @param {(count: number) => void} onProgress
 */
async function readUpTo(answer, limit, onProgress) {
  const reader = answer.body?.getReader();
  if (!reader) return new Uint8Array(await answer.arrayBuffer()).subarray(0, limit);
  /** @type {Uint8Array[]} */
  const parts = [];
  let count = 0;
  while (count < limit) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    count += value.length;
    onProgress(count);
  }
  await reader.cancel();
  const bytes = new Uint8Array(Math.min(count, limit));
  let at = 0;
  for (const part of parts) {
    bytes.set(part.subarray(0, bytes.length - at), at);
    at += part.length;
  }
  return bytes;
}

/**
 * @typedef {import("./manifest.js").ModelSpec} ModelSpec
 * @typedef {import("./manifest.js").ArtifactSpec} ArtifactSpec
 */

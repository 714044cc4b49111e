import { LolvitError } from "./errors.js";

/**
 * One object of a manifest, whose fields are read with their types checked.
 *
 * Every method throws a {@link LolvitError} `manifest_invalid` that names the field.
 */
export class Fields {
  #place;

  /**
   * @param {unknown} json
   * @param {string} url of the manifest, for messages
   * @param {string} place of the object in the document
   */
  constructor(json, url, place = "") {
    this.url = url;
    this.#place = place;
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw this.invalid(`${place || "the document"} is not an object`);
    }
    /** @readonly */
    this.json = /** @type {Record<string, unknown>} */ (json);
  }

  /** @param {string} reason */
  invalid(reason) {
    return new LolvitError("manifest_invalid", { url: this.url, reason });
  }

  /**
   * @param {string} name
   * @returns {unknown} null if it is absent
   */
  get(name) {
    return Object.hasOwn(this.json, name) ? this.json[name] : null;
  }

  /** @param {string} name */
  has(name) {
    return this.get(name) !== null;
  }

  /**
   * @template T
   * @param {string} name
   * @param {(value: unknown) => value is T} check
   * @param {string} kind what the field has to be
   * @returns {T}
   */
  checked(name, check, kind) {
    const value = this.get(name);
    if (!check(value)) throw this.invalid(`${this.#at(name)} is not ${kind}`);
    return value;
  }

  /** @param {string} name */
  #at(name) {
    return this.#place ? `${this.#place}.${name}` : name;
  }

  /** @param {string} name */
  string(name) {
    return this.checked(name, isString, "a string");
  }

  /** @param {string} name */
  boolean(name) {
    return this.checked(name, (value) => typeof value === "boolean", "true or false");
  }

  /**
   * @param {string} name
   * @param {number} low
   * @param {number} [high]
   */
  integer(name, low, high = Number.MAX_SAFE_INTEGER) {
    return this.checked(name, isInteger(low, high), `an integer from ${low} to ${high}`);
  }

  /**
   * @param {string} name
   * @param {number} low
   * @param {number} high
   */
  number(name, low, high) {
    return this.checked(
      name,
      /** @returns {value is number} */ (value) =>
        typeof value === "number" && value >= low && value <= high,
      `a number from ${low} to ${high}`,
    );
  }

  /**
   * @template T
   * @param {string} name
   * @param {(value: unknown) => value is T} check of each entry
   * @param {string} kind what the field has to be
   * @returns {readonly T[]}
   */
  list(name, check, kind) {
    return Object.freeze([
      ...this.checked(
        name,
        /** @returns {value is T[]} */ (value) => Array.isArray(value) && value.every(check),
        kind,
      ),
    ]);
  }

  /** @param {string} name */
  object(name) {
    return new Fields(this.get(name), this.url, this.#at(name));
  }

  /** @param {string} name */
  objects(name) {
    const items = this.checked(name, Array.isArray, "a list");
    return items.map((item, number) => new Fields(item, this.url, `${this.#at(name)}[${number}]`));
  }

  /**
   * The same object with other or renamed fields.
   *
   * @param {Record<string, unknown>} changed
   */
  with(changed) {
    return new Fields({ ...this.json, ...changed }, this.url, this.#place);
  }
}

/** @type {(value: unknown) => value is string} */
export const isString = (value) => typeof value === "string";

/** @type {(value: unknown) => value is number} */
export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * @param {number} low
 * @param {number} high
 * @returns {(value: unknown) => value is number}
 */
export function isInteger(low, high) {
  return /** @returns {value is number} */ (value) =>
    Number.isInteger(value) && /** @type {number} */ (value) >= low && /** @type {number} */ (value) <= high;
}

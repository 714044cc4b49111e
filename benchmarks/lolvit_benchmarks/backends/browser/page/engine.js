// A worker as an object whose calls give promises. A GPU that is lost may never answer.
const PATIENCE_MS = 10 * 60 * 1000;

export class Engine {
  #worker = new Worker("worker.js");
  #waiting = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, answer, error } }) => {
      if (!this.#waiting.has(id)) return; // an answer that nobody waits for any more
      const { resolve, reject, alarm } = this.#waiting.get(id);
      clearTimeout(alarm);
      this.#waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => this.#fail(event.message ?? "the worker could not start");
  }

  #fail(why) {
    for (const { reject, alarm } of this.#waiting.values()) {
      clearTimeout(alarm);
      reject(new Error(why));
    }
    this.#waiting.clear();
  }

  ask(what, given = {}) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const alarm = setTimeout(() => this.#fail("gave no answer for 10 minutes"), PATIENCE_MS);
      this.#waiting.set(id, { resolve, reject, alarm });
      this.#worker.postMessage({ id, what, arguments: given });
    });
  }

  close() {
    this.#worker.terminate();
    this.#fail("closed");
  }
}

// A worker as an object whose calls give promises.
export class Engine {
  #worker = new Worker("worker.js");
  #waiting = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => this.#fail(event.message ?? "the worker could not start");
  }

  #fail(why) {
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }

  ask(what, given = {}) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, what, arguments: given });
    });
  }

  close() {
    this.#worker.terminate();
    this.#fail("closed");
  }
}

// Calls a worker, by promises. After the loss of a GPU it may never answer, hence the timeout.
const TIMEOUT_MS = 10 * 60 * 1000;

export class Engine {
  #worker = new Worker("worker.js");
  #pending = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, answer, error } }) => {
      if (!this.#pending.has(id)) return; // timed out before
      const { resolve, reject, timer } = this.#pending.get(id);
      clearTimeout(timer);
      this.#pending.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => this.#rejectAll(event.message ?? "the worker could not start");
  }

  #rejectAll(message) {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new Error(message));
    }
    this.#pending.clear();
  }

  call(method, given = {}, transferred = []) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#rejectAll("no answer for 10 minutes"), TIMEOUT_MS);
      this.#pending.set(id, { resolve, reject, timer });
      this.#worker.postMessage({ id, method, arguments: given }, transferred);
    });
  }

  close() {
    this.#worker.terminate();
    this.#rejectAll("closed");
  }
}

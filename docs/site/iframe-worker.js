// Browsers start no worker for pages that were opened from the disk. The theme's search then runs in
// a frame, which has the same functions as a worker; it looks for the name IFrameWorker.
window.IFrameWorker = class extends EventTarget {
  #inner
  #ready

  constructor(url) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.append(frame)
    this.#inner = frame.contentWindow
    this.#inner.postMessage = (data) => this.#answer(new MessageEvent("message", { data }))
    this.#inner.importScripts = async (...urls) => {
      for (const each of urls) await this.#load(each) // one may need the one before
    }
    this.#ready = this.#load(url).catch((error) => this.#answer(error))
  }

  async postMessage(data) {
    await this.#ready
    this.#inner.dispatchEvent(new MessageEvent("message", { data }))
  }

  terminate() {
    this.#inner.frameElement?.remove()
  }

  #answer(event) {
    this[`on${event.type}`]?.(event)
    this.dispatchEvent(event)
  }

  #load(url) {
    const script = this.#inner.document.createElement("script")
    script.src = url
    return new Promise((resolve, reject) => {
      script.onload = resolve
      script.onerror = () => reject(new ErrorEvent("error", { message: `can't load ${url}` }))
      this.#inner.document.body.append(script)
    })
  }
}

if (location.protocol === "file:") window.Worker = window.IFrameWorker

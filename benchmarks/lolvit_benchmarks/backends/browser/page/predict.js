// Runs a model on a photo or the camera's picture, and shows what it finds.
import { Engine } from "./engine.js";
import { Photo } from "./lolvit/index.js";
import { Results } from "./results.js";

const element = (id) => document.getElementById(id);
const showStatus = (text) => (element("predict-status").textContent = text);

export class Trial {
  #job;
  #engine = null;
  #opened = "";
  #model = null; // what the worker has opened
  #results = new Results();
  #stream = null;
  #busy = false;
  #last = null;

  constructor(job) {
    this.#job = job;
    fill(element("model"), job.models.map(({ name }) => name));
    element("model").addEventListener("change", () => this.#offerArtifacts());
    element("artifact").addEventListener("change", () => this.#offerRuntimes());
    element("runtime").addEventListener("change", () => this.#repeat());
    element("photo").addEventListener("change", () => this.#takePhoto());
    element("camera").addEventListener("click", () => this.#toggleCamera());
    this.#offerArtifacts();
  }

  get #chosen() {
    return this.#job.models[element("model").selectedIndex];
  }

  get #artifact() {
    return this.#chosen.artifacts[element("artifact").selectedIndex];
  }

  #offerArtifacts() {
    fill(element("artifact"), this.#chosen.artifacts.map(({ path }) => path));
    this.#offerRuntimes();
  }

  #offerRuntimes() {
    fill(element("runtime"), this.#artifact?.runtimes ?? []);
    this.#repeat();
  }

  #repeat() {
    if (this.#last) this.show(this.#last);
  }

  async #takePhoto() {
    const [file] = element("photo").files;
    if (!file) return;
    this.#stopCamera();
    try {
      await this.show(await Photo.from(file));
    } catch (error) {
      showStatus(`${file.name}: ${error.message}`);
    }
  }

  // Run the model on a photo, and show the result.
  async show(photo) {
    this.#last = photo;
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { prediction, model } = await this.predict(photo);
      showStatus(this.#results.show(photo, prediction, model));
      element("video").hidden = !this.#stream || model.task !== "classification";
    } catch (error) {
      this.#results.clear();
      showStatus(error.message);
    } finally {
      this.#busy = false;
    }
    if (this.#last !== photo && !this.#stream) await this.show(this.#last); // another was chosen meanwhile
  }

  async predict(photo) {
    await this.#open();
    const { width, height, rgb } = photo;
    const prediction = await this.#engine.call("predict", { width, height, rgb });
    return { prediction, model: this.#model };
  }

  // Open the selected artifact in the selected runtime, unless they are open.
  async #open() {
    const { folder } = this.#chosen;
    const { path } = this.#artifact;
    const runtime = element("runtime").value;
    const selected = `${folder} ${path} ${runtime}`;
    if (this.#opened === selected) return;
    showStatus("Loading the model.");
    this.#engine?.close();
    this.#opened = "";
    element("untrained").hidden = true;
    this.#engine = new Engine();
    await this.#engine.call("open", { runtime, threads: 1, versions: this.#job.versions });
    this.#model = await this.#engine.call("openModel", { folder, artifact: path });
    element("untrained").hidden = this.#model.trained;
    this.#opened = selected;
  }

  async #toggleCamera() {
    if (this.#stream) {
      this.#stopCamera();
      showStatus("The camera is off.");
      return;
    }
    if (!navigator.mediaDevices) {
      showStatus("The camera needs a secure context: open this page on localhost or by https.");
      return;
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      showStatus(`No picture from a camera: ${error.message}`);
      return;
    }
    const video = element("video");
    video.srcObject = this.#stream;
    video.hidden = false;
    setPressed(element("camera"), true);
    await video.play();
    this.#watch(this.#stream);
  }

  #stopCamera() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    element("video").hidden = true;
    setPressed(element("camera"), false);
  }

  async #watch(stream) {
    const video = element("video");
    while (this.#stream === stream) {
      if (video.videoWidth) await this.show(await Photo.from(video));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function setPressed(button, on) {
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Stop the camera" : "Start the camera";
}

function fill(select, values) {
  select.replaceChildren(...values.map((value) => new Option(value)));
}

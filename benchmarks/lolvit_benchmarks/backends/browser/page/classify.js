// Classifies a photo or the camera's picture by the preprocessing, tensors and labels of the manifest.
import { decode, toRgb } from "./decode.js";
import { Engine } from "./engine.js";
import { readManifest, requireClassifier } from "./manifest.js";
import { toInput, toPixels } from "./preprocess.js";

const TOP = 5;
const element = (id) => document.getElementById(id);
const showStatus = (text) => (element("classify-status").textContent = text);

export class Classifier {
  #job;
  #engine = null;
  #opened = "";
  #manifest = null;
  #input = null;
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

  get #model() {
    return this.#job.models[element("model").selectedIndex];
  }

  get #artifact() {
    return this.#model.artifacts[element("artifact").selectedIndex];
  }

  #offerArtifacts() {
    fill(element("artifact"), this.#model.artifacts.map(({ path }) => path));
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
      await this.show(await decode(file));
    } catch (error) {
      showStatus(`${file.name}: ${error.message}`);
    }
  }

  // Classify a photo, { width, height, rgb }, and show the result.
  async show(photo) {
    this.#last = photo;
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { ranking, ms, pixels } = await this.classify(photo);
      showCrop(pixels);
      showRanking(ranking);
      showStatus(`${ranking[0].label}: ${percent(ranking[0].probability)}. The artifact took ${ms.toFixed(1)} ms.`);
    } catch (error) {
      showStatus(error.message);
    } finally {
      this.#busy = false;
    }
  }

  async classify(photo) {
    const input = await this.#open();
    const { preprocessing, labels } = this.#manifest;
    const pixels = toPixels(photo, preprocessing);
    const values = toInput(pixels, preprocessing, input);
    const { logits, ms } = await this.#engine.call("classify", { name: "model", values });
    return { ranking: rank(logits, labels), ms, pixels, logits, values };
  }

  // Open the selected artifact in the selected runtime, unless they are open; return its input tensor.
  async #open() {
    const { url, path } = this.#artifact;
    const runtime = element("runtime").value;
    const selected = `${url} ${runtime}`;
    if (this.#opened !== selected) {
      showStatus("Loading the model.");
      this.#engine?.close();
      this.#opened = "";
      this.#manifest = readManifest(await (await fetch(this.#model.manifest)).json());
      const { task, artifacts } = this.#manifest;
      const found = artifacts.find((one) => one.path === path);
      const { input, output } = requireClassifier({ task, ...found });
      this.#engine = new Engine();
      await this.#engine.call("open", { runtime, threads: 1, versions: this.#job.versions });
      const specs = { inputSpec: input, outputSpec: output };
      await this.#engine.call("openModel", { name: "model", artifact: url, ...specs });
      this.#input = input;
      this.#opened = selected;
    }
    return this.#input;
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
    while (this.#stream === stream) {
      const video = element("video");
      if (video.videoWidth) await this.show(toRgb(video));
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

function rank(logits, labels) {
  const highest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers
    .map((value, index) => ({ index, label: labels?.[index] ?? `class ${index}`, probability: value / sum }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, TOP);
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

function showRanking(ranking) {
  element("ranking-place").hidden = false;
  const rows = ranking.map(({ label, probability }) => {
    const row = document.createElement("tr");
    row.insertCell().textContent = label;
    const cell = row.insertCell();
    cell.textContent = percent(probability);
    cell.className = "number";
    return row;
  });
  element("ranking").replaceChildren(...rows);
}

function showCrop({ width, height, rgb }) {
  const canvas = element("crop");
  element("crop-figure").hidden = false;
  canvas.width = width;
  canvas.height = height;
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    rgba.set([rgb[from], rgb[from + 1], rgb[from + 2]], to);
  }
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

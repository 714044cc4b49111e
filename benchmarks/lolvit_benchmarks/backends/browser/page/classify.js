// Classifies a photo or the camera's picture: size, mean, labels and names come from the manifest.
import { decode, toRgb } from "./decode.js";
import { Engine } from "./engine.js";
import { toInput, toPixels } from "./preprocess.js";

const TOP = 5;
const element = (id) => document.getElementById(id);
const say = (text) => (element("classify-status").textContent = text);

export class Classifier {
  #job;
  #engine = null;
  #opened = "";
  #manifest = null;
  #stream = null;
  #busy = false;
  #last = null;

  constructor(job) {
    this.#job = job;
    fill(element("model"), job.models.map(({ name }) => name));
    element("model").addEventListener("change", () => this.#offerArtifacts());
    element("artifact").addEventListener("change", () => this.#offerRuntimes());
    element("runtime").addEventListener("change", () => this.#again());
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
    this.#again();
  }

  #again() {
    if (this.#last) this.show(this.#last);
  }

  async #takePhoto() {
    const [file] = element("photo").files;
    if (!file) return;
    this.#stopCamera();
    try {
      await this.show(await decode(file));
    } catch (error) {
      say(`${file.name}: ${error.message}`);
    }
  }

  // Classify a photo given as { width, height, rgb }.
  async show(photo) {
    this.#last = photo;
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { ranking, ms, pixels } = await this.classify(photo);
      showCrop(pixels);
      showRanking(ranking);
      say(`${ranking[0].label}: ${percent(ranking[0].share)}. The artifact took ${ms.toFixed(1)} ms.`);
    } catch (error) {
      say(error.message);
    } finally {
      this.#busy = false;
    }
  }

  async classify(photo) {
    const artifact = await this.#open();
    const { preprocess, labels } = this.#manifest;
    const pixels = toPixels(photo, preprocess);
    const values = toInput(pixels, preprocess, artifact.input);
    const { logits, ms } = await this.#engine.ask("classify", { name: "model", values });
    return { ranking: rank(logits, labels), ms, pixels, logits, values };
  }

  // Open what is chosen, unless it is open; return its entry in the manifest.
  async #open() {
    const { url, path } = this.#artifact;
    const runtime = element("runtime").value;
    const wanted = `${url} ${runtime}`;
    if (this.#opened !== wanted) {
      say("Loading the model.");
      this.#engine?.close();
      this.#opened = "";
      this.#manifest = await (await fetch(this.#model.manifest)).json();
      this.#engine = new Engine();
      await this.#engine.ask("open", { runtime, threads: 1, versions: this.#job.versions });
    }
    const artifact = this.#manifest.artifacts.find((one) => one.path === path);
    if (this.#opened !== wanted) {
      const { input: spec, output } = artifact;
      await this.#engine.ask("openModel", { name: "model", model: url, spec, output });
      this.#opened = wanted;
    }
    return artifact;
  }

  async #toggleCamera() {
    if (this.#stream) {
      this.#stopCamera();
      say("The camera is off.");
      return;
    }
    if (!navigator.mediaDevices) {
      say("The camera needs a secure context: open this page on localhost or by https.");
      return;
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      say(`No picture from a camera: ${error.message}`);
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
    .map((value, index) => ({ index, label: labels?.[index] ?? `class ${index}`, share: value / sum }))
    .sort((a, b) => b.share - a.share || a.index - b.index)
    .slice(0, TOP);
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function showRanking(ranking) {
  element("ranking-place").hidden = false;
  const rows = ranking.map(({ label, share }) => {
    const row = document.createElement("tr");
    row.insertCell().textContent = label;
    const cell = row.insertCell();
    cell.textContent = percent(share);
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

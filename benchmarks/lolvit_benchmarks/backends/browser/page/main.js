// The page: two tabs, the measurement if the server has one, and the classifier.
import { describe } from "./about.js";
import { measureAll, say } from "./bench.js";
import { Classifier } from "./classify.js";
import { sayBye } from "./server.js";

const element = (id) => document.getElementById(id);

async function begin() {
  const job = await (await fetch("job.json")).json();
  const about = await describe();
  showAbout(about);
  wireTabs();
  const classifier = new Classifier(job);
  window.lolvit = { classifier, job };
  if (job.cells.length === 0) {
    element("tab-bench").hidden = true;
    select(element("tab-classify"));
    return;
  }
  addEventListener("pagehide", sayBye);
  if (new URLSearchParams(location.search).has("go")) {
    await measure(job, about);
    return;
  }
  say(`Ready: ${job.cells.length} measurements. Keep this page in sight while they run.`);
  const start = element("start");
  start.hidden = false;
  start.addEventListener("click", () => {
    start.hidden = true;
    measure(job, about);
  });
}

async function measure(job, about) {
  try {
    await measureAll(job, about);
  } catch (error) {
    say(`Stopped: ${error.message}`);
  }
}

function showAbout({ name, cores, isolated, software_gpu, details }) {
  const gpu = details.gpu && `GPU ${details.gpu}${software_gpu ? " (software)" : ""}`;
  const threads = isolated ? "" : "no threads: not a secure context";
  const parts = [name, details.platform, `${cores} cores`, gpu ?? "no WebGPU", threads];
  element("about").textContent = parts.filter(Boolean).join(" · ");
}

function wireTabs() {
  const tabs = [element("tab-bench"), element("tab-classify")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const other = tabs.find((one) => one !== tab);
      if (other.hidden) return;
      select(other);
      other.focus();
    });
  }
}

function select(chosen) {
  for (const tab of [element("tab-bench"), element("tab-classify")]) {
    const on = tab === chosen;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    element(tab.getAttribute("aria-controls")).hidden = !on;
  }
}

begin().catch((error) => say(`This page could not start: ${error.message}`));

// The page: two tabs, the benchmark if the server has one, and the models to try.
import { describe } from "./about.js";
import { measureAll, showStatus } from "./bench.js";
import { Trial } from "./predict.js";
import { sendBye } from "./server.js";

const element = (id) => document.getElementById(id);

async function start() {
  const job = await (await fetch("job.json")).json();
  const about = await describe();
  showAbout(about);
  wireTabs();
  window.lolvit = { trial: new Trial(job), job };
  if (job.cases.length === 0) {
    element("tab-bench").hidden = true;
    select(element("tab-predict"));
    return;
  }
  addEventListener("pagehide", sendBye);
  if (new URLSearchParams(location.search).has("go")) {
    await measure(job, about);
    return;
  }
  showStatus(`Ready: ${job.cases.length} measurements. Keep this page visible while they run.`);
  const button = element("start");
  button.hidden = false;
  button.addEventListener("click", () => {
    button.hidden = true;
    measure(job, about);
  });
}

async function measure(job, about) {
  try {
    await measureAll(job, about);
  } catch (error) {
    showStatus(`Stopped: ${error.message}`);
  }
}

function showAbout({ name, cores, isolated, software_gpu, details }) {
  const gpu = details.gpu && `GPU ${details.gpu}${software_gpu ? " (software)" : ""}`;
  const threads = isolated ? "" : "no threads: not a secure context";
  const parts = [name, details.platform, `${cores} cores`, gpu ?? "no WebGPU", threads];
  element("about").textContent = parts.filter(Boolean).join(" · ");
}

function wireTabs() {
  const tabs = [element("tab-bench"), element("tab-predict")];
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
  for (const tab of [element("tab-bench"), element("tab-predict")]) {
    const on = tab === chosen;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    element(tab.getAttribute("aria-controls")).hidden = !on;
  }
}

start().catch((error) => showStatus(`This page could not start: ${error.message}`));

// Reads manifests and jobs of schema 1 and 2 into one form, with the names of schema 2:
//   tensor:        { name, shape, dtype, layout, meaning }
//   preprocessing: { size, resize, crop_pct, interpolation, mean, std, color }
//   artifact:      { path, inputs: [tensor], outputs: [tensor] }
//   manifest:      { task, preprocessing, labels, artifacts: [artifact] }
//   candidate:     { name, artifact, input, task, preprocessing, inputs: [tensor], outputs: [tensor] },
//                  where `artifact` and `input` are URLs
//   job:           { versions, models, warm_up, cases: [{ runtime, precision, threads, candidates }] }
const NEWEST_SCHEMA = 2;
const TASKS = ["classification"];

export function readManifest(json) {
  const version = json.schema_version;
  if (!Number.isInteger(version) || version < 1 || version > NEWEST_SCHEMA) {
    throw new Error(
      `the manifest has schema version ${version}; this page reads versions 1 to ${NEWEST_SCHEMA}`,
    );
  }
  return {
    task: json.task ?? "classification", // the only one of schema 1
    preprocessing: readPreprocessing(json.preprocessing ?? json.preprocess),
    labels: json.labels ?? [],
    artifacts: json.artifacts.map(({ path, ...rest }) => ({ path, ...readTensors(rest) })),
  };
}

export function readJob({ cases, ...job }) {
  return {
    ...job,
    cases: cases.map(({ candidates, ...benchmarkCase }) => ({
      ...benchmarkCase,
      candidates: candidates.map(readCandidate),
    })),
  };
}

function readCandidate({ name, artifact, input, task, preprocessing, preprocess, ...tensors }) {
  return {
    name,
    artifact,
    input,
    task: task ?? "classification",
    preprocessing: readPreprocessing(preprocessing ?? preprocess),
    ...readTensors(tensors),
  };
}

// Schema 1 has one `input` and one `output`.
function readTensors({ inputs, outputs, input, output }) {
  return {
    inputs: (inputs ?? [input]).map(readTensor),
    outputs: (outputs ?? [output]).map(readTensor),
  };
}

// Schema 1 calls the meaning `values`.
export function readTensor({ values, meaning = values, ...tensor }) {
  return { ...tensor, meaning };
}

// Schema 1 knows no other resize than a centre crop.
export function readPreprocessing({ resize = "crop", ...preprocessing }) {
  return { ...preprocessing, resize };
}

// Throw if the page can't run an artifact; return its input and its output of logits.
export function requireClassifier({ task, inputs, outputs }) {
  if (!TASKS.includes(task)) {
    throw new Error(`this page can't run the task "${task}"; it supports ${TASKS.join(", ")}`);
  }
  if (inputs.length !== 1) {
    throw new Error(`the artifact has ${inputs.length} inputs; this page supports one image`);
  }
  const output = outputs.find(({ meaning }) => meaning === "logits");
  if (!output) throw new Error("the artifact has no output of logits");
  return { input: inputs[0], output };
}

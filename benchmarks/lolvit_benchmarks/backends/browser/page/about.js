// Describes this browser and the machine; details that it doesn't report are absent.
export async function describe() {
  const gpu = await describeGpu();
  const high = await navigator.userAgentData?.getHighEntropyValues?.([
    "architecture", "bitness", "model", "platformVersion", "fullVersionList",
  ]);
  const details = {
    user_agent: navigator.userAgent,
    platform: [high?.platform, high?.platformVersion].filter(Boolean).join(" "),
    architecture: [high?.architecture, high?.bitness].filter(Boolean).join(" "),
    model: high?.model,
    memory_gb: navigator.deviceMemory && `at least ${navigator.deviceMemory}`,
    gpu: gpu?.name,
  };
  const reported = Object.entries(details).filter(([, value]) => value);
  return {
    name: browserName(high?.fullVersionList),
    cores: navigator.hardwareConcurrency || 1,
    isolated: self.crossOriginIsolated === true,
    software_gpu: gpu ? gpu.software : null,
    details: Object.fromEntries(reported.map(([key, value]) => [key, String(value).slice(0, 500)])),
  };
}

async function describeGpu() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return null;
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
    const name = [vendor, architecture, device, description].filter(Boolean).join(" ");
    return { name, software: isFallbackAdapter === true || /swiftshader|llvmpipe/i.test(name) };
  } catch {
    return null;
  }
}

// One of the brands is a made-up name (GREASE), at a random place.
function browserName(brands) {
  const known = brands?.filter(({ brand }) => !/not.*brand/i.test(brand));
  const named = known?.find(({ brand }) => brand !== "Chromium") ?? known?.[0];
  if (named) return `${named.brand} ${named.version}`;
  const found = navigator.userAgent.match(/(Firefox|FxiOS|CriOS|Edg|Chrome|Version)\/([\d.]+)/);
  if (!found) return "unknown browser";
  const [, name, version] = found;
  return `${name === "Version" ? "Safari" : name} ${version}`;
}

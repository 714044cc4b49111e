// Messages to the server that this page came from; `client` tells this page from another one.
const client = [...crypto.getRandomValues(new Uint8Array(16))]
  .map((byte) => byte.toString(16).padStart(2, "0"))
  .join("");

export async function tell(kind, content = {}) {
  const answer = await fetch("api", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ kind, client, ...content }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(reason(text));
  return JSON.parse(text);
}

function reason(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text;
  }
}

// A page that is being closed can send no more than this.
export function sayBye() {
  navigator.sendBeacon("api", JSON.stringify({ kind: "bye", client }));
}

// Messages to the server of this page; `client` identifies this page among several.
const client = [...crypto.getRandomValues(new Uint8Array(16))]
  .map((byte) => byte.toString(16).padStart(2, "0"))
  .join("");

export async function send(kind, content = {}) {
  const answer = await fetch("api", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ kind, client, ...content }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new RejectedError(answer.status, errorOf(text));
  return JSON.parse(text);
}

// The server rejected a message.
export class RejectedError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  // Another page is measuring, or the run is over: all messages of this page will be rejected.
  get final() {
    return this.status === 409 || this.status === 410;
  }
}

function errorOf(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text;
  }
}

// The only kind of message that a closing page can still send.
export function sendBye() {
  navigator.sendBeacon("api", JSON.stringify({ kind: "bye", client }));
}

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
  if (!answer.ok) throw new RefusedError(answer.status, reason(text));
  return JSON.parse(text);
}

// The server's answer to a message that it does not take.
export class RefusedError extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }

  // Another page measures, or nothing does any more: no message of this page would be taken.
  get final() {
    return this.status === 409 || this.status === 410;
  }
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

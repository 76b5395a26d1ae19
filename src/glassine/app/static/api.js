// Requests to the app. Errors carry what the server said, and its status; status 0 is a lost connection.

export class Failure extends Error {
  constructor(status, text, problems = []) {
    super(text);
    this.status = status;
    this.problems = problems;
  }
}

const LOST = "The connection to glassine is lost. Is it still running in its terminal?";

export async function ask(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Failure(0, LOST);
  }
  if (reply.status === 204) return null;
  let content = null;
  try {
    content = await reply.json();
  } catch {
    throw new Failure(reply.status, `glassine answered with status ${reply.status} and nothing that can be read.`);
  }
  if (!reply.ok) throw new Failure(reply.status, content.error || `Status ${reply.status}`, content.problems);
  return content;
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export function postForm(path, fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== null && value !== undefined) form.append(name, value);
  return ask(path, { method: "POST", body: form });
}

/** Send a file; `progress` is told the share that has arrived. */
export function upload(file, progress = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/files");
    request.responseType = "json";
    request.upload.onprogress = (event) => { if (event.lengthComputable) progress(event.loaded / event.total); };
    request.onerror = () => reject(new Failure(0, LOST));
    request.onload = () => {
      const content = request.response || {};
      if (request.status === 201) resolve(content);
      else reject(new Failure(request.status, content.error || `Status ${request.status}`));
    };
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

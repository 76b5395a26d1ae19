"use strict";

/* Shows the clips of a comparison, all from their first frame at the same moment. Browsers go on where they were when an
   address is shown again, so that each start takes new addresses. */
class Player {
  constructor(stages) {
    this.stages = stages;
    this.names = [];
    this.blobs = new Map();
    this.turn = 0;
  }

  /* Resolves to false where another call came in between; throws an Error where a clip cannot be loaded. */
  async show(names) {
    const turn = ++this.turn;
    const images = await Promise.all(names.map((name) => this.load(name, turn)));
    if (turn !== this.turn) return false;
    this.names = names;
    images.forEach((image, place) => this.stages[place].replaceChildren(image));
    return true;
  }

  restart() {
    return this.show(this.names);
  }

  /* Fetches what comes next, and forgets all but it and what is shown. */
  async prepare(names) {
    for (const name of this.blobs.keys()) {
      if (!names.includes(name) && !this.names.includes(name)) this.blobs.delete(name);
    }
    if (location.protocol.startsWith("http")) names.forEach((name) => this.blob(name).catch(() => {}));
  }

  async load(name, turn) {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    // a page that was opened from a file may not fetch, but may add to an address
    const fetched = location.protocol.startsWith("http");
    try {
      image.src = fetched ? URL.createObjectURL(await this.blob(name)) : `clips/${name}.webp?${turn}`;
      await image.decode();
    } catch {
      throw new Error("A sticker cannot be loaded.");
    } finally {
      if (fetched) setTimeout(() => URL.revokeObjectURL(image.src), 1000);
    }
    return image;
  }

  blob(name) {
    if (!this.blobs.has(name)) {
      const fetched = fetch(`clips/${name}.webp`).then((reply) => {
        if (!reply.ok) throw new Error(reply.statusText);
        return reply.blob();
      });
      fetched.catch(() => this.blobs.delete(name));
      this.blobs.set(name, fetched);
    }
    return this.blobs.get(name);
  }
}

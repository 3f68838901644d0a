// Copies every encoded frame: u32 RTP time, u8 key frame, u32 length, bytes (big endian), in order, several per post.
"use strict";

onrtctransform = (event) => {
  const {readable, writable, options} = event.transformer;
  let waiting = [];
  let sending = false;

  async function send() {
    sending = true;
    while (waiting.length) {
      const frames = waiting;
      waiting = [];
      await fetch(`${self.location.origin}/post/${options.kind}`, {method: "POST", body: new Blob(frames)});
    }
    sending = false;
  }

  readable.pipeThrough(new TransformStream({
    transform(frame, controller) {
      const header = new DataView(new ArrayBuffer(9));
      header.setUint32(0, frame.getMetadata().rtpTimestamp ?? frame.timestamp);
      header.setUint8(4, frame.type === "key" ? 1 : 0);
      header.setUint32(5, frame.data.byteLength);
      waiting.push(header.buffer, frame.data.slice(0));
      if (!sending) send();
      controller.enqueue(frame);
    },
  })).pipeTo(writable);
};

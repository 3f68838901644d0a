// The test pattern of devstack/testpattern.py as live tracks, in a worker: frame n leaves at start + n / framerate,
// sound 10 ms at a time when its last sample is due. One thread and one clock for both, so that flash and beep of a
// second leave together; `check` measures how well that is met.
"use strict";
const RATE = 48000, STEP = 480, BEEP = 12000 / 32768, LATE = 0.5;
const lanes = new Map();
const now = () => (performance.timeOrigin + performance.now()) / 1000;

// ---- picture ---------------------------------------------------------------------------------------------------

// A noisy scene a little larger than the picture; what is cut out of it sways.
function scene(width, height) {
  const across = width + 32, down = height + 32, plane = new Uint8Array(across * down);
  let seed = 1;
  const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  const columns = Math.ceil(across / 40) + 1, rows = Math.ceil(down / 40) + 1;
  const grid = Float32Array.from({length: columns * rows}, () => 60 + 130 * random());
  for (let y = 0; y < down; y++) {
    const row = Math.floor(y / 40), v = (y % 40) / 40;
    for (let x = 0; x < across; x++) {
      const cell = row * columns + Math.floor(x / 40), u = (x % 40) / 40;
      const upper = grid[cell] * (1 - u) + grid[cell + 1] * u;
      const lower = (grid[cell + columns] ?? 120) * (1 - u) + (grid[cell + columns + 1] ?? 120) * u;
      plane[y * across + x] = upper * (1 - v) + lower * v + 14 * (random() + random() - 1);
    }
  }
  return {plane, across};
}

function blank(width, height, [u, v]) {
  const luma = width * height, chroma = ((width + 1) >> 1) * ((height + 1) >> 1);
  const data = new Uint8Array(luma + 2 * chroma);
  data.fill(u, luma, luma + chroma);
  data.fill(v, luma + chroma);
  return data;
}

function draw(lane, number) {
  const {width, height, data, background} = lane, angle = 2 * Math.PI * (number % 24) / 24;
  const dx = 16 + Math.round(8 * Math.sin(angle)), dy = 16 + Math.round(5 * Math.cos(angle));
  for (let y = 0; y < height; y++) {
    const from = (y + dy) * background.across + dx;
    data.set(background.plane.subarray(from, from + width), y * width);
  }
  const box = (x, y, across, down, level) => {
    for (let row = y; row < y + down; row++) data.fill(level, row * width + x, row * width + x + across);
  };
  const size = Math.floor(width / 20) & ~1, x0 = 2 * size, y0 = size, margin = size / 2;
  box(x0 - margin, y0 - margin, 17 * size + 2 * margin, size + 2 * margin, 16);
  let parity = 0;
  for (let bit = 0; bit < 17; bit++) {
    const one = bit < 16 ? (number >> bit) & 1 : parity;
    parity ^= one;
    if (one) box(x0 + bit * size, y0, size, size, 235);
  }
  const side = Math.floor(height / 3), flash = number % lane.framerate < Math.max(1, Math.floor(lane.framerate / 10));
  box((width >> 1) - (side >> 1), (height >> 1) - (side >> 1), side, side, flash ? 235 : 16);
}

function resize(lane, width, height) {
  Object.assign(lane, {width, height, background: scene(width, height), data: blank(width, height, lane.chroma)});
}

function picture(lane, number, due) {
  if (lane.held) return;
  draw(lane, number % 65536);
  const frame = new VideoFrame(lane.data, {format: "I420", codedWidth: lane.width, codedHeight: lane.height,
                                           timestamp: Math.round((due * 1000 - performance.timeOrigin) * 1000)});
  lane.writer.write(frame).catch(() => frame.close());
}

// ---- sound -----------------------------------------------------------------------------------------------------

function sound(lane, number, due) {
  if (lane.held) return;
  const data = new Float32Array(STEP * lane.channels);
  for (let index = 0; index < STEP && !lane.silent; index++) {
    const position = number * STEP + index, time = position / RATE;
    const beep = position % RATE < RATE / 10 ? BEEP * Math.sin(2 * Math.PI * lane.beep * time) : 0;
    data[index] = lane.tone * Math.sin(2 * Math.PI * lane.left * time) + beep;
    if (lane.channels === 2) data[STEP + index] = lane.tone * Math.sin(2 * Math.PI * lane.right * time) + beep;
  }
  const chunk = new AudioData({format: "f32-planar", sampleRate: RATE, numberOfFrames: STEP, data,
                               numberOfChannels: lane.channels, timestamp: Math.round((due * 1000 - performance.timeOrigin) * 1000)});
  lane.writer.write(chunk).catch(() => chunk.close());
}

// ---- clock -----------------------------------------------------------------------------------------------------

// Picture n is due at its time, chunk n of sound when its last sample is. What is late is sent at once; after a
// pause of the whole process (more than LATE seconds) a live source goes on with what is due now.
function run(lane) {
  if (lane.ended) return;
  const due = () => lane.start + (lane.number + (lane.video ? 0 : 1)) / lane.perSecond;
  if (now() - due() > LATE) lane.number = Math.ceil((now() - lane.start) * lane.perSecond);
  while (due() <= now()) {
    lane.lateness = Math.max(lane.lateness, now() - due());
    (lane.video ? picture : sound)(lane, lane.number, due());
    lane.number++;
  }
  setTimeout(run, Math.max(0, (due() - now()) * 1000), lane);
}

function open({label, writable, settings}) {
  close({label});
  const video = settings.kind === "video";
  const lane = {...settings, video, label, held: false, number: 0, lateness: 0, writer: writable.getWriter(),
                perSecond: video ? settings.framerate : RATE / STEP};
  if (video) resize(lane, settings.width, settings.height);
  lane.number = Math.max(0, Math.ceil((now() - lane.start) * lane.perSecond));
  lanes.set(label, lane);
  run(lane);
}

function close({label}) {
  const lane = lanes.get(label);
  if (lane) lane.ended = true;
  lanes.delete(label);
}

// ---- how good it is --------------------------------------------------------------------------------------------

// Reads the tracks back as an encoder gets them: wall clock of each flash, and of each beep's first sample (a sample
// is captured when it leaves: its chunk's last one is due at the moment of delivery).
async function check({video, audio, seconds, start}) {
  const end = now() + seconds, flashes = new Map(), beeps = new Map();
  const pictures = async (reader) => {
    let lit = true;
    while (now() < end) {
      const {value, done} = await reader.read();
      if (done) break;
      const at = now(), pixel = new Uint8Array(value.allocationSize());
      await value.copyTo(pixel);
      const white = pixel[value.codedWidth * (value.codedHeight >> 1) + (value.codedWidth >> 1)] > 125;
      if (white && !lit) flashes.set(Math.round(at - start), at);
      lit = white;
      value.close();
    }
  };
  const sounds = async (reader) => {
    let quiet = 0;
    while (now() < end) {
      const {value, done} = await reader.read();
      if (done) break;
      const at = now(), count = value.numberOfFrames, samples = new Float32Array(count);
      value.copyTo(samples, {planeIndex: 0, format: "f32-planar"});
      for (let index = 0; index < count; index++) {
        if (Math.abs(samples[index]) < 2000 / 32768) { quiet++; continue; }
        const onset = at - (count - index) / RATE;
        if (quiet > RATE / 5) beeps.set(Math.round(onset - start), onset);
        quiet = 0;
      }
      value.close();
    }
  };
  await Promise.all([pictures(video.getReader()), sounds(audio.getReader())]);
  const errors = (events) => [...events].map(([second, at]) => 1000 * (at - start - second));
  const offsets = [...flashes].filter(([second]) => beeps.has(second)).map(([second, at]) => 1000 * (at - beeps.get(second)));
  return {offsets, flashes: errors(flashes), beeps: errors(beeps)};
}

const lateness = () => Object.fromEntries([...lanes].map(([label, lane]) => [label, 1000 * lane.lateness]));
const actions = {
  open, close, check, lateness,
  hold: ({label, held}) => { lanes.get(label).held = held; },
  silence: ({label, silent}) => { lanes.get(label).silent = silent; },
  resize: ({label, width, height}) => resize(lanes.get(label), width, height),
  clock: () => 1000 * (now() - Date.now() / 1000),
};
onmessage = async ({data: {id, action, ...rest}}) => {
  try {
    postMessage({id, value: await actions[action](rest)});
  } catch (error) {
    postMessage({id, error: String(error)});
  }
};

// A LiveKit participant in a browser: publishes tracks of pattern.js and obeys commands. Posts `report` once all is published.
"use strict";
const post = (name, value) => fetch(`/post/${name}`, {method: "POST", body: JSON.stringify(value)});
addEventListener("unhandledrejection", (event) => post("error", String(event.reason)));
addEventListener("error", (event) => post("error", event.message));

const {Room, RoomEvent, Track} = LivekitClient;
const SOURCES = {CAMERA: Track.Source.Camera, MICROPHONE: Track.Source.Microphone, SCREEN_SHARE: Track.Source.ScreenShare,
                 SCREEN_SHARE_AUDIO: Track.Source.ScreenShareAudio, UNKNOWN: Track.Source.Unknown};
const worker = new Worker("/files/pattern.js");
const answers = new Map();
const tracks = new Map(), sids = new Map(), events = [];
let settings, room, asked = 0;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

worker.onerror = (event) => post("error", event.message);
worker.onmessage = ({data: {id, value, error}}) => {
  const [resolve, reject] = answers.get(id);
  answers.delete(id);
  error ? reject(new Error(error)) : resolve(value);
};
function ask(action, message = {}, transfer = []) {
  return new Promise((resolve, reject) => {
    answers.set(++asked, [resolve, reject]);
    worker.postMessage({id: asked, action, ...message}, transfer);
  });
}

// The tab is captured with what it shows: the picture of a lane, at the size of the window, which may be odd.
async function captureTab(generator) {
  const view = document.createElement("video");
  view.srcObject = new MediaStream([generator]);
  view.style.cssText = "position: fixed; inset: 0; width: 100%; height: 100%; object-fit: fill";
  document.body.append(view);
  await view.play();
  const stream = await navigator.mediaDevices.getDisplayMedia({video: {frameRate: 30}, audio: false, preferCurrentTab: true});
  return stream.getVideoTracks()[0];
}

async function publish(label) {
  const track = settings.tracks[label];
  const generator = new MediaStreamTrackGenerator({kind: track.kind});
  await ask("open", {label, writable: generator.writable, settings: {...settings.pattern, ...track}}, [generator.writable]);
  const options = track.kind === "video"
    ? {source: SOURCES[track.source], simulcast: settings.simulcast, videoCodec: settings.codec, backupCodec: false,
       videoEncoding: {maxBitrate: settings.bitrate * 1000, maxFramerate: settings.pattern.framerate},
       screenShareEncoding: {maxBitrate: settings.bitrate * 1000, maxFramerate: settings.pattern.framerate}}
    : {source: SOURCES[track.source], forceStereo: settings.pattern.channels === 2, dtx: settings.dtx, red: settings.red,
       audioPreset: {maxBitrate: settings.audioBitrate * 1000}};
  tracks.set(label, track.tab ? await captureTab(generator) : generator);
  await room.localParticipant.publishTrack(tracks.get(label), options);
}

// A full reconnect makes new publications of the same tracks.
function publicationOf(label) {
  const found = [...room.localParticipant.trackPublications.values()].find(({track}) => track && track.mediaStreamTrack === tracks.get(label));
  if (found?.trackSid) sids.set(label, found.trackSid);
  return found;
}

async function unpublish(label) {
  await room.localParticipant.unpublishTrack(publicationOf(label).track);
  await ask("close", {label});
}

// A browser switches a layer off when its bandwidth or CPU does not suffice; here it is told to.
async function layer(label, index, active) {
  const sender = publicationOf(label).track.sender, parameters = sender.getParameters();
  if (!parameters.encodings[index]) throw new Error(`${label} has no layer ${index}`);
  parameters.encodings[index].active = active;
  await sender.setParameters(parameters);
}

// What a camera does that is turned: no picture of the old size after the first one of the new.
async function resize(label, [width, height]) {
  await ask("resize", {label, width, height});
}

async function obey(line) {
  const [command, ...rest] = line.trim().split(/\s+/), [verb, label] = command.split("_");
  const publication = publicationOf(label);
  if (verb === "publish") await publish(label);
  else if (verb === "unpublish") await unpublish(label);
  else if (verb === "mute") await publication.track.mute();
  else if (verb === "unmute") await publication.track.unmute();
  else if (command === "pause_layer") {
    await layer("video", Number(rest[0]), false);
    await sleep(Number(rest[1]));
    await layer("video", Number(rest[0]), true);
  } else if (command === "hold_layer" || command === "resume_layer") await layer("video", Number(rest[0]), verb === "resume");
  else if (verb === "hold" || verb === "resume") await ask("hold", {label, held: verb === "hold"});
  else if (verb === "silence" || verb === "speak") await ask("silence", {label, silent: verb === "silence"});
  else if (command === "size") await resize("video", rest[0].split("x").map(Number));
  else if (command === "reconnect") await reconnect(rest[0]);
  else if (command === "leave") await room.disconnect();
  else throw new Error(`unknown command ${line}`);
  return state();
}

// livekit-client's own test scenarios; returns when the connection is whole again.
async function reconnect(scenario) {
  const before = events.length;
  await room.simulateScenario(scenario);
  for (let waited = 0; waited < 20; waited += 0.05) {
    if (events.slice(before).some(({name}) => name === RoomEvent.Reconnected) && room.state === "connected") return;
    await sleep(0.05);
  }
  throw new Error(`${scenario}: not connected again within 20 s (${JSON.stringify(events.slice(before))})`);
}

const state = () => ([...tracks.keys()].forEach(publicationOf), {
  sids: Object.fromEntries(sids), participant: room.localParticipant.sid, connection: room.state, events: events.slice(-20),
});

// How far flash and beep of a second are apart where the browser's encoders take them over.
async function measure(seconds) {
  const stream = (label) => new MediaStreamTrackProcessor({track: tracks.get(label).clone()}).readable;
  const video = stream("video"), audio = stream("audio");
  return await ask("check", {video, audio, seconds, start: settings.pattern.start}, [video, audio]);
}

async function quality() {
  const found = {};
  for (const label of tracks.keys()) {
    const sender = publicationOf(label)?.track?.sender;
    if (!sender) continue;
    found[label] = [...(await sender.getStats()).values()]
      .filter((report) => report.type === "outbound-rtp")
      .map(({rid, active, frameWidth, frameHeight, framesPerSecond, framesEncoded, qualityLimitationReason, encoderImplementation}) =>
        ({rid, active, frameWidth, frameHeight, framesPerSecond, framesEncoded, qualityLimitationReason, encoderImplementation}));
  }
  return {layers: found, lateness: await ask("lateness"), clock: await ask("clock")};
}

(async () => {
  settings = await (await fetch("/settings")).json();
  room = new Room({dynacast: settings.dynacast});
  for (const name of [RoomEvent.SignalReconnecting, RoomEvent.Reconnecting, RoomEvent.Reconnected, RoomEvent.Disconnected,
                      RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished])
    room.on(name, () => events.push({name, at: Date.now() / 1000}));
  await room.connect(settings.url, settings.token, {autoSubscribe: false, rtcConfig: {iceServers: []}});
  await Promise.all(settings.publish.map(publish));
  await post("report", state());
})();

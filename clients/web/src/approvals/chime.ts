/** Two short tones, made here: nothing is fetched. Browsers play nothing before the page was touched. */

const TONES_HZ = [660, 880] as const;
const TONE_S = 0.14;
const LOUDNESS = 0.07;

let context: AudioContext | null = null;

/** Once something is pressed, so that a later sound may play. */
export function prepareChime(): void {
  try {
    context ??= new AudioContext();
    if (context.state === "suspended") void context.resume().catch(() => undefined);
  } catch {
    // No sound on this device.
  }
}

export function chime(): void {
  prepareChime();
  if (context?.state !== "running") return;
  const { currentTime, destination } = context;
  for (const [index, frequency] of TONES_HZ.entries()) {
    const from = currentTime + index * TONE_S;
    const tone = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, from);
    gain.gain.linearRampToValueAtTime(LOUDNESS, from + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0005, from + TONE_S);
    tone.connect(gain).connect(destination);
    tone.start(from);
    tone.stop(from + TONE_S);
  }
}

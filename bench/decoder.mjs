// The decoder alone, beside JSON.parse of the same bytes, turn by turn.
import { DocumentDecoder } from '../dist/wire/v0/document-decoder.js';
import { asciiBatch, batch } from './payloads.mjs';

export function benchDecoder({ seconds }) {
  benchBody('batch of 100', Buffer.from(batch()), seconds);
  benchBody('the same, ASCII alone', Buffer.from(asciiBatch()), seconds);
}

function benchBody(name, body, seconds) {
  const decoder = new DocumentDecoder();
  let hash = 0;
  const decode = () => {
    const document = decoder.decode(body, { isEngage: false });
    hash = (hash * 31 + document.events.length + document.events[99].propertiesEnd) | 0;
  };
  const parse = () => {
    hash = (hash * 31 + JSON.parse(body).batch.length) | 0;
  };
  const rate = (work, ms) => {
    const startMs = performance.now();
    let rounds = 0;
    while (performance.now() - startMs < ms) {
      for (let i = 0; i < 20; i++) work();
      rounds += 20;
    }
    return (rounds * 1000) / (performance.now() - startMs);
  };
  rate(decode, 300);
  rate(parse, 300);
  const ratios = [];
  let decodes = 0;
  for (let turn = 0; turn < 5; turn++) {
    const d = rate(decode, (seconds * 1000) / 10);
    const p = rate(parse, (seconds * 1000) / 10);
    decodes = Math.max(decodes, d);
    ratios.push(d / p);
  }
  ratios.sort((a, b) => a - b);
  process.stdout.write(
    `decoder, ${name} (${body.length} bytes): ${(decodes * 100).toFixed(0)} events/s, ${((decodes * body.length) / 1e6).toFixed(0)} MB/s; ${ratios[2].toFixed(2)} times JSON.parse (median of 5; hash ${hash})\n`,
  );
}

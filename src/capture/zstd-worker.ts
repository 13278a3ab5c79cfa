/**
 * The thread that decompresses zstd where Node has none of its own. Apart from the event loop, since a few crafted bytes
 * keep the decoder busy for minutes, and so that it can be ended.
 */
import { parentPort } from 'node:worker_threads';
import { Decompress } from 'fzstd';
import type { ZstdReply, ZstdRequest } from './zstd.ts';

class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

function decompress({ bytes, maxBytes }: ZstdRequest): ZstdReply {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    const stream = new Decompress((chunk) => {
      length += chunk.length;
      if (length > maxBytes) throw new TooLarge();
      chunks.push(chunk);
    });
    stream.push(bytes, true);
  } catch (error) {
    return { kind: error instanceof TooLarge ? 'too_large' : 'damaged' };
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return { kind: 'decompressed', bytes: all };
}

parentPort?.on('message', (request: ZstdRequest) => {
  const reply = decompress(request);
  parentPort?.postMessage(reply, reply.kind === 'decompressed' ? [reply.bytes.buffer as ArrayBuffer] : []);
});

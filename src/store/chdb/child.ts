/**
 * The engine's process. It owns the folder, and lives as long as its parent's channel: a signal to the process group
 * (Ctrl-C) must not end it before the parent has drained, and a parent that was killed must not leave it behind, holding
 * the folder's lock. Losing it at any moment is safe: what was answered is synced.
 */
import { childOptions, childRequest, type ChildReply } from './messages.ts';
import { Engine, FatalStart } from './engine.ts';

function send(reply: ChildReply): void {
  if (process.connected) process.send?.(reply);
}

async function main(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  const options = childOptions.parse(JSON.parse(process.argv[2] ?? '{}'));
  let engine: Engine;
  try {
    engine = await Engine.open(options);
  } catch (error) {
    const reason = error instanceof FatalStart ? error.reason : 'failed';
    const message = error instanceof Error ? error.message : String(error);
    process.send?.({ kind: 'fatal', reason, message } satisfies ChildReply, () => process.exit(1));
    return;
  }
  process.on('message', (message) => {
    const request = childRequest.parse(message);
    if (request.kind === 'close') {
      engine.close();
      process.exit(0);
    }
    engine.handle(request, send).catch((error: unknown) => {
      process.stderr.write(`store: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    });
  });
  send({ kind: 'ready' });
}

await main();

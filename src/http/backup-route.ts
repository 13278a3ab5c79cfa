/**
 * `/api/backups/`: POST begins a backup to a folder on the server's own machine, GET tells how far it has come. A personal
 * key with scope `admin` that is not limited to some projects: a backup holds them all.
 */
import { z } from 'zod';
import type { BackupState } from '../backup/backups.ts';
import { fault, type Fault } from '../errors.ts';
import { authenticate } from '../query/reader.ts';
import type { Exchange } from './exchange.ts';

const wanted = z.strictObject({ dir: z.string().min(1).max(4096) });

export function serveBackups(exchange: Exchange): void {
  const { parts, request } = exchange;
  const { backups, registry } = parts.backups ?? {};
  if (backups === undefined || registry === undefined) {
    exchange.refuseBeforeBody(fault('not_found'));
    return;
  }
  const { method } = request;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') {
    exchange.refuseMethod('GET, HEAD, POST, OPTIONS');
    return;
  }
  const reader = authenticate(registry, request.headers.authorization, 'admin');
  if (reader.kind === 'fault' || reader.key.projects !== undefined) {
    exchange.refuseBeforeBody(reader.kind === 'fault' ? reader : fault('wrong_project'));
    return;
  }
  if (method !== 'POST') {
    exchange.skipBody();
    exchange.answer(200, stateJson(backups.state()));
    return;
  }
  exchange.bodies.read(request, (result) => {
    const bytes = exchange.bodyOf(result);
    if (bytes === undefined) return;
    const asked = dirOf(bytes);
    if (typeof asked !== 'string') {
      exchange.refuse(asked);
      return;
    }
    exchange.answerLater(backups.begin(asked), (expected) => {
      if (expected === undefined) exchange.answer(200, stateJson(backups.state()));
      else exchange.refuse(fault('invalid_parameter', { name: 'dir', expected }));
    });
  });
}

function dirOf(body: Buffer): string | Fault {
  try {
    return wanted.parse(JSON.parse(body.toString('utf8'))).dir;
  } catch {
    return fault('invalid_parameter', { name: 'body', expected: 'JSON such as {"dir":"/backups/monday"}' });
  }
}

function stateJson(state: BackupState): string {
  if (state.kind === 'none') return JSON.stringify({ state: 'none' });
  const began = { state: state.kind, dir: state.dir, began_at: new Date(state.beganAtMs).toISOString() };
  switch (state.kind) {
    case 'running':
      return JSON.stringify({ ...began, step: state.step, done_files: state.doneFiles, total_files: state.totalFiles });
    case 'failed':
      return JSON.stringify({ ...began, reason: state.reason });
    case 'done': {
      const { files, bytes, counts, pending } = state.summary;
      return JSON.stringify({
        ...began,
        files,
        bytes,
        events: counts.events,
        rejections: counts.rejections,
        pending,
      });
    }
  }
}

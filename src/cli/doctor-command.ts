/** `hedgerow doctor`: looks at the machine and the data folder, says what to do, and repairs the log when asked to. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { loadConfig } from '../config/load-config.ts';
import { systemClock } from '../event/clock.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { findRunningServer, type RunningServer } from './data-folder.ts';
import { ok, type Finding } from './doctor/finding.ts';
import { judgeClock, judgePort, judgeSpace, judgeSync, judgeVersions } from './doctor/judge.ts';
import { measureClock, measurePort, measureSpace, measureSync, nearestFolder } from './doctor/measure.ts';
import type { StreamRepair } from './doctor/log-health.ts';
import { dataDirOption, jsonOption } from './options.ts';
import type { Terminal } from './terminal.ts';

interface DoctorFlags {
  readonly dataDir?: string;
  readonly host?: string;
  readonly port?: string;
  readonly config?: string;
  readonly repair?: true;
  readonly json?: true;
}

interface Patient {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  readonly segmentBytes: number;
  readonly running: RunningServer | undefined;
}

export function addDoctorCommand(program: Command, terminal: Terminal, setExitCode: (code: number) => void): void {
  program
    .command('doctor')
    .description('checks disk, clock, port, versions, log and store, and says what to do')
    .option('--repair', 'sets damaged parts of the log aside and counts them; no server may run')
    .addOption(dataDirOption())
    .addOption(new Option('--host <address>', 'as for start (env: HEDGEROW_HOST)'))
    .addOption(new Option('--port <n>', 'as for start (env: HEDGEROW_PORT)'))
    .addOption(new Option('--config <file>', 'as for start (env: HEDGEROW_CONFIG)'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Exit code 0: nothing stands in the way of a server. 1: something does, and the line says what to do.

--repair deletes nothing: what is damaged goes to the folder "damaged" in the data folder, and
everything before and behind it stays. Keep a copy of the data folder first all the same.

Examples:
  $ hedgerow doctor
  $ hedgerow doctor --data-dir /srv/hedgerow --json
  $ hedgerow doctor --repair`,
    )
    .action(async (flags: DoctorFlags) => {
      const patient = patientOf(flags, terminal);
      const repairs = flags.repair === true ? await repaired(patient) : undefined;
      const findings = await examine(patient);
      terminal.out(flags.json === true ? asJson(findings, repairs) : await asText(findings, repairs));
      setExitCode(findings.some(({ status }) => status === 'fail') ? 1 : 0);
    });
}

function patientOf(given: DoctorFlags, terminal: Terminal): Patient {
  const flags: Record<string, string> = {};
  for (const [name, value] of [
    ['data-dir', given.dataDir],
    ['host', given.host],
    ['port', given.port],
    ['config', given.config],
  ] as const) {
    if (value !== undefined) flags[name] = value;
  }
  const loaded = loadConfig({ flags, env: terminal.env, readFile: (path) => readFileSync(path, 'utf8') });
  if (loaded.kind === 'invalid') throw usageFailure(loaded.problems.join('\n'));
  const { host, port, segmentBytes } = loaded.config;
  const dataDir = resolve(loaded.config.dataDir);
  return { dataDir, host, port, segmentBytes, running: findRunningServer(dataDir) };
}

async function repaired({ dataDir, running }: Patient): Promise<readonly StreamRepair[]> {
  if (running !== undefined) {
    throw new CommandFailure(`A server runs on ${dataDir} (process ${running.pid}). Stop it, then repair.`);
  }
  const { repairLog } = await import('./doctor/log-health.ts');
  return repairLog(dataDir);
}

async function examine(patient: Patient): Promise<readonly Finding[]> {
  const { dataDir, segmentBytes, host, port, running } = patient;
  const folder = nearestFolder(dataDir);
  // Loaded late: `--help` needs no native libraries.
  const { examineData, logFormatVersion } = await import('./doctor/log-health.ts');
  const findings: Finding[] = [judgeVersions(process.versions.node, logFormatVersion), judgeFolder(dataDir, folder)];
  findings.push(judgeSpace({ freeBytes: await measureSpace(folder), segmentBytes }));
  if (findings.every(({ check, status }) => check !== 'data_folder' || status !== 'fail')) {
    findings.push(judgeSync(await measureSync(folder, systemClock)));
  }
  findings.push(judgeClock(await measureClock(systemClock)));
  if (running !== undefined) {
    findings.push(ok('port', `the server of this folder listens on ${running.url}`), ...(await askServer(running)));
    return findings;
  }
  findings.push(judgePort(host, port, await measurePort(host, port)));
  findings.push(...(await examineData(dataDir)));
  return findings;
}

function judgeFolder(dataDir: string, nearest: string): Finding {
  try {
    if (!statSync(nearest).isDirectory()) throw new Error('is a file');
    accessSync(nearest, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      check: 'data_folder',
      status: 'fail',
      text: `${nearest} cannot be used: ${reason}`,
      todo: 'Make it a folder that this user may write, or choose another with --data-dir.',
    };
  }
  return nearest === dataDir
    ? ok('data_folder', dataDir)
    : ok('data_folder', `${dataDir} is not there yet; the first start makes it`);
}

/** What a running server says of itself; it holds the locks, and knows its log and store best. */
async function askServer({ url, pid }: RunningServer): Promise<readonly Finding[]> {
  const answer = async (path: string): Promise<{ ok: boolean; text: string }> => {
    const response = await fetch(url + path, { signal: AbortSignal.timeout(5_000) });
    return { ok: response.ok, text: await response.text() };
  };
  try {
    const [readiness, metrics] = await Promise.all([answer('/_readiness'), answer('/metrics')]);
    const server: Finding = readiness.ok
      ? ok('server', `process ${pid} takes events`)
      : {
          check: 'server',
          status: 'fail',
          text: `process ${pid} takes no events now: ${readiness.text.trim()}`,
          todo: 'Read its log; it takes events again by itself once the cause is gone.',
        };
    return [server, judgeFaults(metrics.text), judgeLag(metrics.text)];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const text = `process ${pid} does not answer on ${url}: ${reason}`;
    return [{ check: 'server', status: 'fail', text, todo: 'Look at that process; restart it when it hangs.' }];
  }
}

function judgeFaults(metrics: string): Finding {
  const faults = sumOf(metrics, 'hedgerow_log_faults_total');
  if (faults === 0) return ok('log', 'no write has failed since the start');
  return {
    check: 'log',
    status: 'warn',
    text: `${faults} writes or changes of the log failed since the start; their requests were refused`,
    todo: 'Read the server’s log for the cause: a full or failing disk.',
  };
}

function judgeLag(metrics: string): Finding {
  const seconds = sumOf(metrics, 'hedgerow_loader_lag_seconds');
  const text = `${sumOf(metrics, 'hedgerow_loader_lag_events')} events wait to be stored, the oldest for ${Math.round(seconds)} s`;
  if (seconds < 60) return ok('store', text);
  return { check: 'store', status: 'warn', text, todo: 'Nothing is lost, but SQL lags: the store is slow, or away.' };
}

/** Over all labels. */
function sumOf(metrics: string, name: string): number {
  const values = metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'));
  return [...values].reduce((sum, [, value]) => sum + Number(value), 0);
}

function asJson(findings: readonly Finding[], repairs: readonly StreamRepair[] | undefined): string {
  const isHealthy = findings.every(({ status }) => status !== 'fail');
  const said = findings.map(({ check, status, text, todo }) => ({ check, status, text, todo: todo ?? null }));
  const setAside = repairs?.flatMap(({ stream, setAside }) =>
    setAside.map((each) => ({
      stream,
      file: each.path,
      byte: each.position,
      bytes: each.bytes,
      frames: each.frames,
      first_record: each.firstSequence,
      end_record: each.endSequence,
      lost_records: each.lostRecords,
      why: each.why,
      kept_as: each.keptAs ?? null,
    })),
  );
  return `${JSON.stringify({ healthy: isHealthy, findings: said, set_aside: setAside ?? null })}\n`;
}

const marks = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const;

async function asText(findings: readonly Finding[], repairs: readonly StreamRepair[] | undefined): Promise<string> {
  const lines = findings.map(({ check, status, text, todo }) => {
    const line = `${marks[status]}  ${check.replaceAll('_', ' ').padEnd(12)}  ${text}\n`;
    return todo === undefined ? line : `${line}      ${' '.repeat(12)}  ${todo}\n`;
  });
  if (repairs === undefined) return lines.join('');
  const { repairText } = await import('./doctor/log-health.ts');
  return `${repairText(repairs)}\n${lines.join('')}`;
}

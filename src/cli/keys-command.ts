/** `hedgerow keys`: works on the registry of the data folder, whether a server runs or not. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { EpochMs } from '../event/ids.ts';
import { scopes, type PersonalKey, type ProjectKey, type Registry, type Scope } from '../registry/registry.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { withRegistry } from './data-folder.ts';
import { appended, dataDirOption, jsonOption } from './options.ts';
import { onlyProject, projectNamed } from './project-choice.ts';
import { dataDirOf } from './server-address.ts';
import { printable } from './table.ts';
import type { Terminal } from './terminal.ts';

interface KeysFlags {
  readonly dataDir?: string;
  readonly json?: true;
}

interface CreateFlags extends KeysFlags {
  readonly kind?: 'server' | 'public' | 'personal';
  readonly scopes?: readonly Scope[];
  readonly project?: readonly string[];
}

/** How a key is shown to programs. `projects` null: all; `scopes` null: a project key has none. */
interface KeyAsJson {
  readonly id: string;
  readonly kind: string;
  readonly key?: string;
  readonly scopes: readonly Scope[] | null;
  readonly projects: readonly number[] | null;
  readonly created_at: string;
  readonly revoked_at: string | null;
  readonly last_used_at?: string | null;
}

export function addKeysCommand(program: Command, terminal: Terminal): void {
  const keys = program.command('keys').description('project keys and personal keys');
  keys.addHelpText(
    'after',
    `
Kinds:
  public    a project key for SDKs, browsers and apps; can only write
  server    a project key whose POSTs need a personal key as well
  personal  proves who calls, in the header "Authorization: Bearer phx_…"

Examples:
  $ hedgerow keys list
  $ hedgerow keys create --kind public
  $ hedgerow keys create --kind personal --scopes capture,query --project 1
  $ hedgerow keys revoke 019a2b3c-0000-7000-8000-000000000000`,
  );

  keys
    .command('list')
    .description('shows the keys; of personal keys everything but the key itself')
    .option('--all', 'revoked keys too')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow keys list\n  $ hedgerow keys list --all --json')
    .action(async (flags: KeysFlags & { readonly all?: true }) => {
      await withRegistry(dataDirOf(flags, terminal.env), (registry) => {
        const isWanted = (key: ProjectKey | PersonalKey): boolean =>
          flags.all === true || key.revokedAtMs === undefined;
        const personal = [...registry.personalKeys()].sort((a, b) => a.createdAtMs - b.createdAtMs);
        const found = [...inOrder(registry.projectKeys()), ...personal].filter((key) => isWanted(key));
        if (flags.json === true) {
          terminal.out(`${JSON.stringify(found.map((key) => asJson(key)))}\n`);
        } else {
          for (const key of found) terminal.out(forPeople(key, registry));
          if (found.length === 0) terminal.err('There are no keys. "hedgerow keys create" makes one.\n');
        }
        return Promise.resolve();
      });
    });

  keys
    .command('create')
    .description('makes a key and prints it; a personal key is shown this once')
    .addOption(new Option('--kind <kind>', 'what the key is for').choices(['server', 'public', 'personal']))
    .addOption(
      new Option('--scopes <list>', 'what a personal key may do (default: capture,query)').argParser(parseScopes),
    )
    .option(
      '--project <id or name>',
      'the project of a project key (default: the only one); a personal key is limited to it, may be given again (default: all)',
      appended,
    )
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow keys create --kind public
  $ hedgerow keys create --kind server --project "My shop"
  $ hedgerow keys create --kind personal --scopes query --json`,
    )
    .action(async (flags: CreateFlags) => {
      if (flags.kind === undefined) {
        throw usageFailure('Give the kind of key: --kind server, --kind public or --kind personal.');
      }
      const { kind } = flags;
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const { key, secret } = await createKey(registry, { ...flags, kind });
        if (flags.json === true) {
          terminal.out(`${JSON.stringify({ ...asJson(key), key: secret })}\n`);
          return;
        }
        terminal.out(`${secret}\n`);
        terminal.err(
          key.kind === 'personal'
            ? `Made a personal key (id ${key.id}) with the scopes ${key.scopes.join(', ')}. Keep it: it is not shown again.\n`
            : `Made a ${key.kind} key (id ${key.id}) of project ${key.projectId}.\n`,
        );
      });
    });

  keys
    .command('revoke')
    .description('ends the use of a key, for good; a running server refuses it within a second')
    .argument('<id>', 'the id that "keys list" shows, or the key itself')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow keys revoke 019a2b3c-0000-7000-8000-000000000000')
    .action(async (idOrKey: string, flags: KeysFlags) => {
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const found = registry.findProjectKey(idOrKey) ?? registry.findPersonalKey(idOrKey);
        const id = found?.id ?? idOrKey;
        if (!(await registry.revokeKey(id))) {
          throw new CommandFailure('There is no such key. "hedgerow keys list" shows the ids of those there are.');
        }
        if (flags.json === true) terminal.out(`${JSON.stringify({ id, revoked: true })}\n`);
        else terminal.out(`Revoked the key ${id}.\n`);
      });
    });
}

/** By project, then oldest first; of those made together the server key first. */
export function inOrder(keys: readonly ProjectKey[]): readonly ProjectKey[] {
  const kindOrder = { server: 0, public: 1 } as const;
  return [...keys].sort(
    (a, b) => a.projectId - b.projectId || a.createdAtMs - b.createdAtMs || kindOrder[a.kind] - kindOrder[b.kind],
  );
}

/** @throws InvalidArgumentError naming the scopes there are. */
export function parseScopes(text: string): readonly Scope[] {
  const words = text.split(',').map((word) => word.trim());
  return words.map((word) => {
    const scope = scopes.find((each) => each === word);
    if (scope === undefined) throw new InvalidArgumentError(`"${word}" is no scope. Scopes: ${scopes.join(', ')}.`);
    return scope;
  });
}

async function createKey(
  registry: Registry,
  flags: CreateFlags & Required<Pick<CreateFlags, 'kind'>>,
): Promise<{ readonly key: ProjectKey | PersonalKey; readonly secret: string }> {
  if (flags.kind === 'personal') {
    const projects = flags.project?.map((named) => projectNamed(registry, named).id);
    return registry.createPersonalKey({
      scopes: [...new Set(flags.scopes ?? (['capture', 'query'] as const))],
      projects,
    });
  }
  if (flags.scopes !== undefined) throw usageFailure('--scopes is for personal keys; a project key can only write.');
  const [named, another] = flags.project ?? [];
  if (another !== undefined) throw usageFailure('A project key belongs to one project; give --project once.');
  const project = named === undefined ? onlyProject(registry) : projectNamed(registry, named);
  const made = await registry.createProjectKey(project.id, flags.kind);
  if (made.kind === 'refused') throw new CommandFailure('The project was deleted meanwhile; no key was made.');
  return { key: made, secret: made.key };
}

function asJson(key: ProjectKey | PersonalKey): KeyAsJson {
  const common = { created_at: isoTime(key.createdAtMs), revoked_at: isoTimeOrNull(key.revokedAtMs) };
  if (key.kind === 'personal') {
    const { id, kind } = key;
    const limits = { scopes: key.scopes, projects: key.projects ?? null };
    return { id, kind, ...limits, ...common, last_used_at: isoTimeOrNull(key.lastUsedAtMs) };
  }
  return { id: key.id, kind: key.kind, key: key.key, scopes: null, projects: [key.projectId], ...common };
}

/** Three short lines, since key and id side by side do not fit a terminal. */
function forPeople(key: ProjectKey | PersonalKey, registry: Registry): string {
  const isPersonal = key.kind === 'personal';
  const shown = isPersonal ? `(shown at its creation only)  ${key.scopes.join(', ')}` : key.key;
  const where = isPersonal ? projectsOf(key, registry) : projectLabel(key.projectId, registry);
  const used = isPersonal ? [`last used ${dayOf(key.lastUsedAtMs) ?? 'never'}`] : [];
  const revoked = key.revokedAtMs === undefined ? [] : [`REVOKED ${isoTime(key.revokedAtMs).slice(0, 10)}`];
  const facts = [where, `made ${isoTime(key.createdAtMs).slice(0, 10)}`, ...used, ...revoked].join(' · ');
  return `${key.kind.padEnd(8)}  ${printable(shown)}\n          ${printable(facts)}\n          id ${key.id}\n`;
}

function projectsOf(key: PersonalKey, registry: Registry): string {
  return key.projects?.map((id) => projectLabel(id, registry)).join(', ') ?? 'all projects';
}

function projectLabel(id: ProjectKey['projectId'], registry: Registry): string {
  const name = registry.project(id)?.name;
  return `project ${id} ${name === undefined ? '(deleted)' : `"${name}"`}`;
}

function dayOf(timeMs: EpochMs | undefined): string | undefined {
  return timeMs === undefined ? undefined : isoTime(timeMs).slice(0, 10);
}

function isoTimeOrNull(timeMs: EpochMs | undefined): string | null {
  return timeMs === undefined ? null : isoTime(timeMs);
}

export function isoTime(timeMs: EpochMs): string {
  return new Date(timeMs).toISOString();
}

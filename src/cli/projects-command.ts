/** `hedgerow projects`: works on the registry of the data folder, whether a server runs or not. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import {
  addressPolicies,
  type AddressPolicy,
  isPattern,
  keepsAll,
  MAX_PATTERNS,
  PATTERN_EXPECTED,
  type PrivacyPolicy,
} from '../normalize/privacy-policy.ts';
import type { Project } from '../registry/registry.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { withRegistry } from './data-folder.ts';
import { isoTime } from './keys-command.ts';
import { appended, dataDirOption, jsonOption } from './options.ts';
import { projectNamed } from './project-choice.ts';
import { dataDirOf } from './server-address.ts';
import { formatTable, printable } from './table.ts';
import type { Terminal } from './terminal.ts';

interface PolicyFlags {
  readonly address?: AddressPolicy;
  readonly redact?: readonly string[];
}

interface ProjectFlags {
  readonly dataDir?: string;
  readonly json?: true;
}

export function addProjectsCommand(program: Command, terminal: Terminal): void {
  const projects = program.command('projects').description('projects: each has its own keys and events');
  projects.addHelpText(
    'after',
    `
Examples:
  $ hedgerow projects list
  $ hedgerow projects create "My shop"
  $ hedgerow projects rename 2 "Our shop"
  $ hedgerow projects set 2 --address truncate --redact "*password*"
  $ hedgerow projects delete 2 --yes`,
  );
  const report = (project: Project, flags: ProjectFlags, done: string): void => {
    if (flags.json === true) terminal.out(`${JSON.stringify(asJson(project))}\n`);
    else terminal.out(`${done} project ${project.id}, "${project.name}".\n`);
  };

  projects
    .command('list')
    .description('shows the projects')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow projects list\n  $ hedgerow projects list --json')
    .action(async (flags: ProjectFlags) => {
      await withRegistry(dataDirOf(flags, terminal.env), (registry) => {
        const found = registry.projects();
        if (flags.json === true) {
          terminal.out(`${JSON.stringify(found.map((project) => asJson(project)))}\n`);
        } else {
          const rows = found.map((project) => [String(project.id), project.name, isoTime(project.createdAtMs)]);
          const columns = [
            { title: 'id', align: 'right' },
            { title: 'name', align: 'left' },
            { title: 'created', align: 'left' },
          ] as const;
          terminal.out(formatTable(columns, rows, terminal.columns));
        }
        return Promise.resolve();
      });
    });

  projects
    .command('create')
    .description('makes a project, without keys')
    .argument('<name>')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ hedgerow projects create "My shop"\n  $ hedgerow keys create --kind public --project "My shop"',
    )
    .action(async (name: string, flags: ProjectFlags) => {
      assertName(name);
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const project = await registry.createProject(name);
        report(project, flags, 'Made');
        terminal.err(`It has no key yet: hedgerow keys create --kind public --project ${project.id}\n`);
      });
    });

  projects
    .command('rename')
    .description('gives a project another name')
    .argument('<project>', 'its id or name')
    .argument('<name>', 'its new name')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow projects rename 2 "Our shop"')
    .action(async (idOrName: string, name: string, flags: ProjectFlags) => {
      assertName(name);
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const renamed = await registry.renameProject(projectNamed(registry, idOrName).id, name);
        if (renamed === undefined) throw new CommandFailure('The project was deleted meanwhile.');
        report(renamed, flags, 'Renamed');
      });
    });

  projects
    .command('show')
    .description('shows what a project keeps of addresses and properties')
    .argument('<project>', 'its id or name')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow projects show 2')
    .action(async (idOrName: string, flags: ProjectFlags) => {
      await withRegistry(dataDirOf(flags, terminal.env), (registry) => {
        const project = projectNamed(registry, idOrName);
        terminal.out(shownPolicy(project, registry.projectPrivacy().get(project.id) ?? keepsAll, flags));
        return Promise.resolve();
      });
    });

  projects
    .command('set')
    .description(
      'changes what a project keeps of addresses and properties; a running server follows within a second, for what comes in from then on',
    )
    .argument('<project>', 'its id or name')
    .addOption(
      new Option('--address <policy>', 'of clients: truncate (IPv4 to /24, IPv6 to /48) or drop').choices(
        addressPolicies,
      ),
    )
    .addOption(
      new Option(
        '--redact <pattern>',
        'property keys whose values are not kept, such as *password* or $set.email; may be given again, replaces the list; none empties it',
      ).argParser(redactPattern),
    )
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow projects set 2 --address truncate
  $ hedgerow projects set 2 --redact "*password*" --redact "*token*" --redact '$set.email'
  $ hedgerow projects set 2 --address keep --redact none`,
    )
    .action(async (idOrName: string, flags: ProjectFlags & PolicyFlags) => {
      const { address, redact } = flags;
      if (address === undefined && redact === undefined) throw usageFailure('Give what to set: --address or --redact.');
      if (redact !== undefined && redact.length > 1 && redact.includes('none')) {
        throw usageFailure('--redact none empties the list; give it alone.');
      }
      if (redact !== undefined && redact.length > MAX_PATTERNS) {
        throw usageFailure(`At most ${MAX_PATTERNS} patterns can be given; these are ${redact.length}.`);
      }
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const project = projectNamed(registry, idOrName);
        const changed = await registry.setProjectPrivacy(project.id, {
          ...(address === undefined ? {} : { address }),
          ...(redact === undefined ? {} : { redact: redact.filter((pattern) => pattern !== 'none') }),
        });
        if (changed === undefined) throw new CommandFailure('The project was deleted meanwhile.');
        terminal.out(shownPolicy(project, changed, flags));
      });
    });

  projects
    .command('delete')
    .description('revokes the keys of a project and removes it; its events stay in the store, unreachable')
    .argument('<project>', 'its id or name')
    .option('--yes', 'really')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow projects delete 2 --yes')
    .action(async (idOrName: string, flags: ProjectFlags & { readonly yes?: true }) => {
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const project = projectNamed(registry, idOrName);
        if (flags.yes !== true) {
          throw usageFailure(
            `This revokes the keys of project ${project.id}, "${project.name}", for good. Add --yes to do it.`,
          );
        }
        if (!(await registry.deleteProject(project.id))) throw new CommandFailure('The project was deleted meanwhile.');
        if (flags.json === true) terminal.out(`${JSON.stringify({ id: project.id, deleted: true })}\n`);
        else terminal.out(`Deleted project ${project.id}, "${project.name}".\n`);
      });
    });
}

function redactPattern(text: string, before: readonly string[] | undefined): readonly string[] {
  if (!isPattern(text)) throw new InvalidArgumentError(`It must be ${PATTERN_EXPECTED}.`);
  return [...new Set(appended(text, before))];
}

function shownPolicy(project: Project, { address, redact }: PrivacyPolicy, flags: ProjectFlags): string {
  if (flags.json === true) return `${JSON.stringify({ project: project.id, address, redact })}\n`;
  const keys = redact.length === 0 ? 'none' : redact.map(printable).join(', ');
  return `Project ${project.id}, "${printable(project.name)}":\n  addresses      ${address}\n  redacted keys  ${keys}\n`;
}

function assertName(name: string): void {
  if (name.trim() === '') throw usageFailure('The name of a project must not be empty.');
}

function asJson(project: Project): { readonly id: number; readonly name: string; readonly created_at: string } {
  return { id: project.id, name: project.name, created_at: isoTime(project.createdAtMs) };
}

/** `hedgerow projects`: works on the registry of the data folder, whether a server runs or not. */
import type { Command } from 'commander';
import type { Project } from '../registry/registry.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { withRegistry } from './data-folder.ts';
import { isoTime } from './keys-command.ts';
import { dataDirOption, jsonOption } from './options.ts';
import { projectNamed } from './project-choice.ts';
import { dataDirOf } from './server-address.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

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

function assertName(name: string): void {
  if (name.trim() === '') throw usageFailure('The name of a project must not be empty.');
}

function asJson(project: Project): { readonly id: number; readonly name: string; readonly created_at: string } {
  return { id: project.id, name: project.name, created_at: isoTime(project.createdAtMs) };
}

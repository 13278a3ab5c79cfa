/** `hedgerow limits`: works on the registry of the data folder, whether a server runs or not. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { systemClock } from '../event/clock.ts';
import { calendarMonth } from '../limits/calendar-month.ts';
import { limitsJson, limitNames } from '../limits/limits-json.ts';
import { type LimitName, limitRules, type LimitsChange, type ProjectLimits } from '../registry/project-limits.ts';
import type { Project, Registry } from '../registry/registry.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { withRegistry } from './data-folder.ts';
import { dataDirOption, jsonOption } from './options.ts';
import { onlyProject, projectNamed } from './project-choice.ts';
import { dataDirOf } from './server-address.ts';
import { printable } from './table.ts';
import type { Terminal } from './terminal.ts';

interface LimitsFlags {
  readonly project?: string;
  readonly dataDir?: string;
  readonly json?: true;
}

export function addLimitsCommand(program: Command, terminal: Terminal): void {
  const limits = program.command('limits').description('how much a project may send: rate, burst, monthly quota');
  limits.addHelpText(
    'after',
    `
Limits:
  rate      events a second, on average
  burst     events that may come at once; none: as many as in one second
  quota     events a calendar month, UTC

Examples:
  $ hedgerow limits show
  $ hedgerow limits set --events-per-second 100 --burst 1000
  $ hedgerow limits set --project "My shop" --monthly-quota 1000000
  $ hedgerow limits set --monthly-quota none`,
  );

  limits
    .command('show')
    .description('shows the limits of a project and what is used of its month')
    .addOption(projectOption())
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow limits show\n  $ hedgerow limits show --project 2 --json')
    .action(async (flags: LimitsFlags) => {
      await withRegistry(dataDirOf(flags, terminal.env), (registry) => {
        const project = projectOf(registry, flags);
        terminal.out(shown({ registry, project, limits: registry.projectLimits().get(project.id) }, flags));
        return Promise.resolve();
      });
    });

  limits
    .command('set')
    .description('changes limits; what is not given stays. A running server follows within a second')
    .addOption(limitOption('eventsPerSecond', 'events a second, on average'))
    .addOption(limitOption('burst', 'events that may come at once'))
    .addOption(limitOption('monthlyQuota', 'events a calendar month, UTC'))
    .addOption(projectOption())
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow limits set --events-per-second 100 --burst 1000
  $ hedgerow limits set --project 2 --monthly-quota 1000000
  $ hedgerow limits set --events-per-second none --burst none --monthly-quota none`,
    )
    .action(async (flags: LimitsFlags & LimitsChange) => {
      if (limitNames.every((name) => flags[name] === undefined)) {
        throw usageFailure('Give a limit to set: --events-per-second, --burst or --monthly-quota.');
      }
      await withRegistry(dataDirOf(flags, terminal.env), async (registry) => {
        const project = projectOf(registry, flags);
        const changed = await registry.setProjectLimits(project.id, flags);
        if (changed === undefined) throw new CommandFailure('The project was deleted meanwhile.');
        terminal.out(shown({ registry, project, limits: changed }, flags));
      });
    });
}

function projectOption(): Option {
  return new Option('--project <id or name>', 'the project (default: the only one)');
}

function limitOption(name: LimitName, what: string): Option {
  const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const { isValid, expected } = limitRules[name];
  return new Option(`--${flag} <n>`, `${what}, or none`).argParser((text) => {
    if (text === 'none') return text;
    const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (!isValid(value)) throw new InvalidArgumentError(`It must be ${expected}, or none.`);
    return value;
  });
}

function projectOf(registry: Registry, { project }: LimitsFlags): Project {
  return project === undefined ? onlyProject(registry) : projectNamed(registry, project);
}

interface Shown {
  readonly registry: Registry;
  readonly project: Project;
  readonly limits: ProjectLimits | undefined;
}

function shown({ registry, project, limits }: Shown, flags: LimitsFlags): string {
  const used = registry.eventUse(project.id, calendarMonth(systemClock.nowMs()).name);
  if (flags.json === true) return `${JSON.stringify({ project: project.id, ...limitsJson(limits, used) })}\n`;
  const lines = [
    ['rate', limits?.eventsPerSecond === undefined ? 'none' : `${counted(limits.eventsPerSecond)} events/s`],
    ['burst', limits?.burst === undefined ? 'none' : `${counted(limits.burst)} events`],
    ['monthly quota', limits?.monthlyQuota === undefined ? 'none' : `${counted(limits.monthlyQuota)} events`],
    ['used this month', `${counted(used)} events${share(used, limits?.monthlyQuota)}`],
  ] as const;
  const head = `Project ${project.id}, "${printable(project.name)}":\n`;
  return head + lines.map(([name, value]) => `  ${name.padEnd(15)}  ${value}\n`).join('');
}

function counted(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}

function share(used: number, quota: number | undefined): string {
  return quota === undefined || quota === 0 ? '' : ` (${Math.floor((100 * used) / quota)} % of the quota)`;
}

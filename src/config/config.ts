import type { z } from 'zod';
import type { SettingName, settings } from './settings.ts';

type SeedName = 'projectApiKey' | 'publicApiKey' | 'personalApiKey';

/** All settings, checked; frozen. Each part of the program is handed the few it needs, never all of it. */
export type Config = {
  readonly [Name in Exclude<SettingName, SeedName>]: z.output<(typeof settings)[Name]['kind']['schema']>;
} & {
  /** Keys of the first project that the operator chose. */
  readonly seeds: { readonly [Name in SeedName]: string | undefined };
  /** The file that was read; undefined when none was named. */
  readonly configFile: string | undefined;
};

/** Where a value came from, and the value as text, masked when it is a secret; undefined = not set. */
export interface SettingSource {
  readonly from: 'flag' | 'environment' | 'file' | 'default';
  /** The flag, variable or file it stands in; undefined for a default. */
  readonly name: string | undefined;
  readonly text: string | undefined;
}

export type ConfigSources = Readonly<Record<SettingName, SettingSource>>;

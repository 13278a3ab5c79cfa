/** Options that several commands share. */
import { Option } from 'commander';
import { DEFAULT_DATA_DIR } from './data-folder.ts';

export function jsonOption(): Option {
  return new Option('--json', 'for programs');
}

export function dataDirOption(): Option {
  return new Option('--data-dir <folder>', `the data folder (env: HEDGEROW_DATA_DIR, default: ${DEFAULT_DATA_DIR})`);
}

export function urlOption(): Option {
  return new Option('--url <url>', "the server (env: HEDGEROW_URL, default: the data folder's running server)");
}

export function keyOption(): Option {
  return new Option(
    '--key <phx_…>',
    'a personal key (env: HEDGEROW_PERSONAL_API_KEY, default: the one that the running server left for you)',
  );
}

export function projectOption(): Option {
  return new Option('--project <id>', 'the project to read (default: the first that the key may read)');
}

/** For an option that may be given again; without a default, which `--help` would show. */
export function appended(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

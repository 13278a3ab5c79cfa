import { describe, expect, it } from 'vitest';
import { serverAddress, type AddressFlags, type Environment } from './server-address.ts';

const running = { url: 'http://127.0.0.1:8000', key: 'phx_local', pid: 1 };

function addressOf(flags: AddressFlags, env: Environment = {}): string {
  const { url, personalKey } = serverAddress(flags, env, (dataDir) => (dataDir === '/empty' ? undefined : running));
  return `${url} ${personalKey ?? 'no key'}`;
}

describe('the server that a command talks to', () => {
  it('is the one of the data folder, with the key that it left there', () => {
    expect(addressOf({})).toBe('http://127.0.0.1:8000 phx_local');
  });

  it('is the one that the flag names, before the environment, before the folder', () => {
    const env = { HEDGEROW_URL: 'http://b:1/', HEDGEROW_PERSONAL_API_KEY: 'phx_env' };
    expect(addressOf({ url: 'http://a:1', key: 'phx_flag' }, env)).toBe('http://a:1 phx_flag');
    expect(addressOf({}, env)).toBe('http://b:1 phx_env');
    expect(addressOf({}, { HEDGEROW_PERSONAL_API_KEY: 'phx_env' })).toBe('http://127.0.0.1:8000 phx_env');
    expect(addressOf({}, { HEDGEROW_URL: '' })).toBe('http://127.0.0.1:8000 phx_local');
  });

  it('never gets the key of the data folder when it is another server', () => {
    expect(addressOf({ url: 'http://stranger:1' })).toBe('http://stranger:1 no key');
    expect(addressOf({ url: 'http://127.0.0.1:8000/' })).toBe('http://127.0.0.1:8000 phx_local');
  });

  it('is not sent a key that cannot be a header', () => {
    expect(() => addressOf({ key: 'phx_a b' })).toThrow('Copy it again');
  });

  it('is missing, in one sentence, when the folder has none', () => {
    expect(() => addressOf({ dataDir: '/empty' })).toThrow(/^No running server was found on the data folder \/empty\./);
  });
});

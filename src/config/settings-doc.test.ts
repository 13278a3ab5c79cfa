import { describe, expect, it } from 'vitest';
import { settingNames, settings } from './settings.ts';
import { settingsDoc } from './settings-doc.ts';

describe('docs/settings.md', () => {
  // After a change of the table: npx vitest run --project unit src/config/settings-doc.test.ts -u
  it('says what the table of settings says', async () => {
    await expect(settingsDoc()).toMatchFileSnapshot('../../docs/settings.md');
  });

  it('names each setting by flag, variable and default', () => {
    for (const name of settingNames) {
      const { flag, env, defaultText } = settings[name];
      for (const text of [flag === undefined ? env : `--${flag}`, env, defaultText ?? 'not set']) {
        expect(settingsDoc()).toContain(text);
      }
    }
  });
});

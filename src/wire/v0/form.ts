import { type Fault, fault } from '../../errors.ts';

/** A form's fields that matter (protocol.md 2.6). */
export interface Form {
  readonly kind: 'form';
  readonly data: Buffer | undefined;
  readonly compression: string | undefined;
}

const FORM_TYPE = 'application/x-www-form-urlencoded';
const LOOK_BYTES = 128;

/** Parameters and letter case are ignored, since browsers add a charset (design.md 4). */
export function isFormType(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  if (contentType === FORM_TYPE) return true;
  return contentType.split(';', 1)[0]?.trim().toLowerCase() === FORM_TYPE;
}

export function looksLikeForm(payload: Buffer): boolean {
  return /(?:^|&)(?:data|_|ip|compression)=/.test(payload.toString('latin1', 0, LOOK_BYTES));
}

export function decodeForm(payload: Buffer): Form | Fault {
  let data: string | undefined;
  let compression: string | undefined;
  for (const [name, value] of new URLSearchParams(payload.toString('utf8'))) {
    if (name === 'data') {
      if (data !== undefined)
        return fault('invalid_form', { problem: 'invalid urlencoded form data: "data" is given twice' });
      data = value;
    } else if (name === 'compression') {
      compression ??= value;
    }
  }
  return { kind: 'form', data: data === undefined ? undefined : Buffer.from(data, 'utf8'), compression };
}

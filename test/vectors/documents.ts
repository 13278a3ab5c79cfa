/**
 * v0 documents and what they decode to. Each row is one rule of the protocol; one loop runs them.
 * `events`: per event its fault code, or what was found.
 */
export interface DocumentVector {
  readonly name: string;
  readonly source: string;
  readonly text: string;
  readonly isEngage?: boolean;
  readonly expected:
    | { readonly refused: string }
    | {
        readonly shape: 'array' | 'batch' | 'single';
        readonly token: string | undefined;
        readonly events: readonly (
          | string
          | {
              readonly name?: string;
              readonly distinctId?: string | undefined;
              readonly properties?: string;
            }
        )[];
      };
}

const single = (text: string, token: string | undefined, event: object | string, source: string, name: string): DocumentVector => ({
  name,
  source,
  text,
  expected: { shape: 'single', token, events: [event] },
}); // prettier-ignore

export const documentVectors: readonly DocumentVector[] = [
  single('{"event":"e","api_key":"k","distinct_id":"d"}', 'k', { name: 'e', distinctId: 'd' }, '3.2', 'api_key names the project'),
  single('{"event":"e","token":"k"}', 'k', { name: 'e', distinctId: undefined }, '3.2', 'token is the same field'),
  single('{"event":"e","$token":"k"}', 'k', { name: 'e' }, '3.2', '$token is the same field'),
  single('{"event":"e","properties":{"token":"k"}}', 'k', { name: 'e' }, '4', 'the key may stand in properties'),
  single('{"event":"e","token":null,"properties":{"token":"k"}}', 'k', { name: 'e' }, '3.2', 'a null key falls through'),
  single('{"event":"e","token":"","properties":{"token":"k"}}', '', { name: 'e' }, '4', 'an empty key does not fall through'),
  single('{"event":"e","$distinct_id":"d"}', undefined, { distinctId: 'd' }, '3.2', '$distinct_id is an alias'),
  single('{"event":"e","properties":{"distinct_id":"d"}}', undefined, { distinctId: 'd' }, '3.5', 'the id may stand in properties'),
  single('{"event":"e","distinct_id":null,"properties":{"distinct_id":"d"}}', undefined, { distinctId: 'd' }, '3.5', 'a null id falls through'),
  single('{"event":"e","distinct_id":"","properties":{"distinct_id":"d"}}', undefined, { distinctId: '' }, '3.5', 'an empty id does not fall through'),
  single('{"event":"e","properties":{"$distinct_id":"d"}}', undefined, { distinctId: undefined }, '3.5', '$distinct_id in properties is not consulted'),
  single('{"event":"e","distinct_id":23}', undefined, { distinctId: '23' }, '3.5', 'an id may be any JSON'),
  single(String.raw`{"\u0065vent":"e\u0021","distinct_id":"d"}`, undefined, { name: 'e!', distinctId: 'd' }, '3.2', 'keys and values may be escaped'),
  single('{"event":"e","properties":{"a":[1,{"b":"}"}]},"x":{"event":"no"}}', undefined, { name: 'e', properties: '{"a":[1,{"b":"}"}]}' }, '3.2', 'unknown keys are passed over'),
  single('{"event":"e","properties":null}', undefined, 'invalid_properties', '3.2', 'null properties are an error'),
  single('{"event":"e","properties":[1]}', undefined, 'invalid_properties', '3.2', 'properties must be an object'),
  single('{"event":1}', undefined, 'invalid_event', '3.1', 'a name must be a string'),
  single('{"event":"e","timestamp":1}', undefined, 'invalid_event', '3.1', 'a numeric timestamp does not fit'),
  single('{"event":"e","timestamp":null}', undefined, { name: 'e' }, '3.2', 'a null timestamp is none'),
  single('{"event":"e","offset":1.5}', undefined, 'invalid_event', '3.1', 'a fractional offset does not fit'),
  single('{"event":"e","offset":-5}', undefined, { name: 'e' }, '3.2', 'an offset may be negative'),
  single('{"event":"e","$set":1}', undefined, 'invalid_event', '3.1', '$set must be an object'),
  single('{"event":"e","$set":null}', undefined, { name: 'e' }, '3.2', '$set may be null'),
  single('{"event":"e","uuid":1}', undefined, 'invalid_event', '3.2', 'a uuid must be a string'),
  single('{"event":"e","event":"f"}', undefined, 'invalid_event', '3.1', 'a repeated field does not fit'),
  single('{"event":"e","distinct_id":"a","$distinct_id":"b"}', undefined, 'invalid_event', '3.1', 'a field beside its alias does not fit'),
  single('{"event":"e","batch":[{"event":"x"}]}', undefined, { name: 'e' }, '3.1', 'batch and event without a key is a single event'),
  single('{"event":"e","batch":null,"api_key":"k"}', 'k', { name: 'e' }, '3.1', 'a batch that is no array does not count'),
  single('\ufeff{"event":"e"}', undefined, { name: 'e' }, 'design 4', 'a byte-order mark is passed over'),
  {
    name: 'an object with batch, event and key is a batch',
    source: '3.1',
    text: '{"event":"e","api_key":"k","batch":[{"event":"x","token":"other"}]}',
    expected: { shape: 'batch', token: 'k', events: [{ name: 'x' }] },
  },
  {
    name: 'a batch keeps its good events and names the bad ones',
    source: 'design 4',
    text: '{"token":"k","batch":[{"event":"a"},7,{"event":3},{},{"event":"b","properties":[]}]}',
    expected: { shape: 'batch', token: 'k', events: [{ name: 'a' }, 'invalid_event', 'invalid_event', 'missing_event_name', 'invalid_properties'] },
  },
  {
    name: 'api_key and token that are equal are fine',
    source: 'design 4',
    text: '{"api_key":"k","token":"k","batch":[{"event":"a"}]}',
    expected: { shape: 'batch', token: 'k', events: [{ name: 'a' }] },
  },
  {
    name: 'an array takes the one key that its events name',
    source: '4',
    text: '[{"event":"a"},{"event":"b","properties":{"token":"k"}},{"event":"c","api_key":"k"}]',
    expected: { shape: 'array', token: 'k', events: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] },
  },
  {
    name: 'an array whose events name several keys is inconsistent',
    source: '4',
    text: '[{"event":"a","token":"k"},{"event":"b","token":"l"}]',
    expected: { shape: 'array', token: 'inconsistent', events: [{ name: 'a' }, { name: 'b' }] },
  },
  {
    name: 'on /engage a nameless object is an event',
    source: '3.4',
    text: '{"api_key":"k","$distinct_id":"d","$set":{"a":1}}',
    isEngage: true,
    expected: { shape: 'single', token: 'k', events: [{ name: '', distinctId: 'd' }] },
  },
  {
    name: 'on /engage nameless events of an array are refused',
    source: '3.4',
    text: '[{"api_key":"k","$distinct_id":"d"}]',
    isEngage: true,
    expected: { shape: 'array', token: 'k', events: ['missing_event_name'] },
  },
  { name: 'an empty object has no event name', source: '3.1', text: '{}', expected: { refused: 'missing_event_name' } },
  { name: 'a null name is none', source: '3.1', text: '{"event":null}', expected: { refused: 'missing_event_name' } },
  { name: 'a batch without its own key', source: '3.1', text: '{"batch":[{"event":"e","token":"k"}]}', expected: { refused: 'missing_event_name' } },
  { name: 'data is no alias of batch', source: '3.1', text: '{"api_key":"k","data":[{"event":"e"}]}', expected: { refused: 'missing_event_name' } },
  { name: 'different api_key and token', source: 'design 4', text: '{"api_key":"a","token":"b","event":"e"}', expected: { refused: 'conflicting_api_keys' } },
  { name: 'a key that is no string', source: '3.1', text: '{"api_key":1,"event":"e"}', expected: { refused: 'invalid_shape' } },
  { name: 'an empty array', source: '5.2', text: '[]', expected: { refused: 'empty_batch' } },
  { name: 'an empty batch', source: '5.2', text: '{"api_key":"k","batch":[]}', expected: { refused: 'empty_batch' } },
  { name: 'a number', source: '3.1', text: '7', expected: { refused: 'invalid_shape' } },
  { name: 'null', source: '3.1', text: 'null', expected: { refused: 'invalid_shape' } },
  { name: 'a string', source: '3.1', text: '"x"', expected: { refused: 'invalid_shape' } },
  { name: 'text behind the value', source: '2.7', text: '{"event":"e"} x', expected: { refused: 'invalid_json' } },
  { name: 'a trailing comma', source: '2.7', text: '{"event":"e",}', expected: { refused: 'invalid_json' } },
  { name: 'a lone surrogate', source: '2.7', text: String.raw`{"event":"\ud83d"}`, expected: { refused: 'invalid_json' } },
  { name: 'a number out of range', source: '2.7', text: '{"event":"e","properties":{"a":1E400}}', expected: { refused: 'invalid_json' } },
  { name: 'nesting of 128', source: '2.7', text: `{"event":"e","properties":${'{"a":'.repeat(127)}1${'}'.repeat(127)}}`, expected: { refused: 'invalid_json' } },
  single(`{"event":"e","properties":${'{"a":'.repeat(126)}1${'}'.repeat(126)}}`, undefined, { name: 'e' }, '2.7', 'nesting of 127 is fine'),
]; // prettier-ignore

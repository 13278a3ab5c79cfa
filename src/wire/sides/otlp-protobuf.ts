/** A walk over protobuf bytes that knows only field numbers: enough to count an OTLP request's records. */
import { type Fault, fault } from '../../errors.ts';
import type { OtlpLevel } from './otlp-signal.ts';

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
const MAX_VARINT_BYTES = 10;

/** The bytes are no protobuf message. */
class BadProtobuf extends Error {
  override readonly name = 'BadProtobuf';
}

/** A position in `bytes` that moves forward and never beyond `end`. */
class ProtobufWalk {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Exact up to 2^53; what is larger is never a length that fits. */
  varint(end: number): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      if (this.at >= end) throw new BadProtobuf('a number is cut short');
      const byte = this.bytes[this.at] as number;
      this.at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new BadProtobuf('a number is longer than 10 bytes');
  }

  skip(wireType: number, end: number): void {
    switch (wireType) {
      case VARINT:
        this.varint(end);
        return;
      case FIXED64:
        this.#advance(8, end);
        return;
      case LENGTH_DELIMITED:
        this.#advance(this.varint(end), end);
        return;
      case FIXED32:
        this.#advance(4, end);
        return;
      default:
        throw new BadProtobuf(`wire type ${wireType} is none of OTLP's`);
    }
  }

  #advance(length: number, end: number): void {
    if (length > end - this.at) throw new BadProtobuf('a field is longer than its message');
    this.at += length;
  }
}

/** How many records an OTLP request in protobuf holds. Only the messages on the way to them are looked into. */
export function countProtobufRecords(body: Buffer, levels: readonly OtlpLevel[]): number | Fault {
  const walk = new ProtobufWalk(body);
  try {
    return countIn(walk, body.length, levels, 0);
  } catch (error) {
    if (!(error instanceof BadProtobuf)) throw error;
    return fault('invalid_encoding', { problem: `invalid protobuf at byte ${walk.at}: ${error.message}` });
  }
}

/** Passes one message, which ends at `end` and holds what `levels[depth]` names. */
function countIn(walk: ProtobufWalk, end: number, levels: readonly OtlpLevel[], depth: number): number {
  const level = levels[depth];
  const isLast = depth === levels.length - 1;
  let count = 0;
  while (walk.at < end) {
    const tag = walk.varint(end);
    const wireType = tag % 8;
    const field = Math.floor(tag / 8);
    if (field === 0) throw new BadProtobuf('field number 0');
    if (wireType !== LENGTH_DELIMITED || level?.fields.includes(field) !== true) {
      walk.skip(wireType, end);
    } else if (isLast) {
      walk.skip(wireType, end);
      count += 1;
    } else {
      const length = walk.varint(end);
      if (length > end - walk.at) throw new BadProtobuf('a field is longer than its message');
      count += countIn(walk, walk.at + length, levels, depth + 1);
    }
  }
  return count;
}

/**
 * `ExportLogsServiceResponse` and its like: partial_success = 1 { rejected = 1 (int64), error_message = 2 (string) }.
 *
 * @param rejected a count of records, not negative
 */
export function encodePartialSuccess(rejected: number, message: string): Buffer {
  const text = Buffer.from(message, 'utf8');
  const inner = Buffer.concat([
    Buffer.from([0x08, ...varintBytes(rejected)]),
    Buffer.from([0x12, ...varintBytes(text.length)]),
    text,
  ]);
  return Buffer.concat([Buffer.from([0x0a, ...varintBytes(inner.length)]), inner]);
}

function varintBytes(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}

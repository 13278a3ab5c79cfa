/**
 * Where the members of the last object of a kind lie, by their place in it, so that those of the next one can be compared
 * with them: the events of a batch look alike, and what has the same bytes was checked already. All within one text.
 */
const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** Members beyond it are scanned. */
const MAX_PLACES = 96;

export class MemberTrail<F> {
  readonly #starts = new Int32Array(MAX_PLACES);
  /** From the key's quote to the colon, both included. */
  readonly #keyBytes = new Int32Array(MAX_PLACES);
  /** Up to the end of the value; 0: the value was not plain. */
  readonly #memberBytes = new Int32Array(MAX_PLACES);
  readonly #fields: F[] = [];
  #known = 0;
  #view = NOTHING;

  /** Another text: nothing is known of it. */
  forget(): void {
    this.#known = 0;
    this.#view = NOTHING;
  }

  /** Before an object of `body`. */
  enter(body: Buffer): void {
    if (this.#known > 0 && this.#view === NOTHING) {
      this.#view = new DataView(body.buffer, body.byteOffset, body.length);
    }
  }

  /**
   * @param at where the member begins
   * @returns how many of its first bytes are those of the member that had this place; 0 when not even its key is
   */
  sameBytes(place: number, at: number, body: Buffer): number {
    if (place >= this.#known) return 0;
    const before = this.#starts[place] as number;
    const keyBytes = this.#keyBytes[place] as number;
    const most = Math.min((this.#memberBytes[place] as number) || keyBytes, body.length - at);
    const view = this.#view;
    let same = 0;
    while (same + 4 <= most && view.getInt32(before + same) === view.getInt32(at + same)) same += 4;
    while (same < most && body[before + same] === body[at + same]) same += 1;
    return same >= keyBytes ? same : 0;
  }

  keyBytes(place: number): number {
    return this.#keyBytes[place] as number;
  }

  /** 0 when its value was not plain. */
  memberBytes(place: number): number {
    return this.#memberBytes[place] as number;
  }

  field(place: number): F {
    return this.#fields[place] as F;
  }

  /** A member of this place was passed: its key, and where its value begins. */
  noteKey(place: number, field: F, start: number, valueStart: number): void {
    if (place >= MAX_PLACES) return;
    this.#starts[place] = start;
    this.#keyBytes[place] = valueStart - start;
    this.#fields[place] = field;
    if (place >= this.#known) this.#known = place + 1;
  }

  /** @param bytes of the whole member; 0 when its value is not plain */
  noteMember(place: number, bytes: number): void {
    if (place < MAX_PLACES) this.#memberBytes[place] = bytes;
  }
}

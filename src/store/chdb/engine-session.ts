import { Session } from 'chdb';

/** What the engine said, by its number (ClickHouse's ErrorCodes.cpp); 0 when it named none. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export type Parameters = Readonly<Record<string, unknown>>;

/** Used where the statement itself names none. */
export type AnswerFormat = 'JSONCompactEachRow' | 'TSVRaw';

/**
 * One session of the engine: it runs one statement at a time; several on one folder run side by side.
 *
 * After a statement that failed midway, the engine puts what it had already written in front of the next answer of the
 * same session: rows of one project in the answer of another. So each failure is followed by a statement whose
 * answer is thrown away.
 */
export class EngineSession {
  readonly #session: Session;
  #isSoiled = false;

  private constructor(session: Session) {
    this.#session = session;
  }

  /** @throws Error when another process has the folder. Cost: 60 ms, blocking. */
  static open(dir: string, connectionArgs: readonly string[]): EngineSession {
    return new EngineSession(new Session(dir, { connectionArgs }));
  }

  /** @throws EngineError */
  async run(
    sql: string,
    parameters: Parameters = {},
    format: AnswerFormat = 'JSONCompactEachRow',
  ): Promise<Uint8Array> {
    while (this.#isSoiled) {
      await this.#session.queryAsync('SELECT 1', { format: 'TSV' });
      const rest = await this.#session.queryAsync('SELECT 1', { format: 'TSV' });
      this.#isSoiled = rest.text() !== '1\n';
    }
    try {
      const answer =
        Object.keys(parameters).length === 0
          ? await this.#session.queryAsync(sql, { format })
          : await this.#session.queryBindAsync(sql, parameters, { format });
      return answer.bytes();
    } catch (error) {
      this.#isSoiled = true;
      throw asEngineError(error);
    }
  }

  close(): void {
    this.#session.close();
  }
}

function asEngineError(error: unknown): EngineError {
  const message = error instanceof Error ? error.message : String(error);
  const code: unknown = error instanceof Error && 'clickhouseCode' in error ? error.clickhouseCode : undefined;
  return new EngineError(typeof code === 'number' ? code : 0, message);
}

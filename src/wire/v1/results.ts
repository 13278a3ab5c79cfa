/** The fate of each event of a request, as V1 says it (protocol.md 8.3). */

/** `dropped`: why, in V1's word; undefined for an event that was stored. */
export interface EventResult {
  /** Canonical: lower case, hyphenated. */
  readonly uuid: string;
  readonly dropped: string | undefined;
  /** It was stored without person processing, since its distinct_id names nobody. */
  readonly hasPlaceholderId: boolean;
}

/** @param results in the order of the request; call only with a receipt for all that is not dropped */
export function resultsBody(results: readonly EventResult[]): Buffer {
  let text = '{"results":{';
  for (let i = 0; i < results.length; i++) {
    const { uuid, dropped, hasPlaceholderId } = results[i] as EventResult;
    text += i === 0 ? `"${uuid}":` : `,"${uuid}":`;
    if (dropped !== undefined) text += `{"result":"drop","details":"${dropped}"}`;
    else if (hasPlaceholderId) text += '{"result":"ok","details":"person_processing_disabled"}';
    else text += '{"result":"ok"}';
  }
  return Buffer.from(`${text}}}`, 'latin1');
}

/** Answers that are the same for everybody, since nothing of the kind exists here (sdks.md 14, 15 and its table (a)). */

/** `/s`: session recordings are not kept. posthog-js stops sending them for a minute, nobody sends them again. */
export const RECORDINGS_ANSWER = '{"status":"Ok","quota_limited":["recordings"]}';

/** By path without the last slash. */
export const fixedAnswers: Readonly<Record<string, string>> = {
  '/api/early_access_features': '{"earlyAccessFeatures":[]}',
  '/api/feature_flag/local_evaluation': '{"flags":[],"group_type_mapping":{},"cohorts":{}}',
  '/api/product_tours': '{"product_tours":[]}',
  '/api/surveys': '{"surveys":[]}',
  '/api/web_experiments': '{"experiments":[]}',
  '/flags/definitions': '{"flags":[],"group_type_mapping":{},"cohorts":{}}',
};

/** A remote config flag's payload: `null`, since an error's body would reach posthog-node's caller as the payload. */
export const NO_PAYLOAD = 'null';
export const EMPTY_OBJECT = '{}';

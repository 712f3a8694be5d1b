export { Common } from "./common.js";
export { Helper, type HelperAnswer, type HelperRequest } from "./helper.js";
export { type HelperPort, Helpers } from "./helpers.js";
export { type Checkpoint, Journal } from "./journal.js";
export { Memo } from "./memo.js";
export { outlookOf } from "./outlook.js";
export { Rehearsal } from "./rehearsal.js";
export type { FoundViolation, Outlook, SearchResult } from "./result.js";
export { Search, type SearchMove, type SearchOptions, type SearchProgress, type Shard } from "./search.js";

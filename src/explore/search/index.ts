export { type Checkpoint, Journal } from "./journal.js";
export { Memo } from "./memo.js";
export type { FoundViolation, SearchResult } from "./result.js";
export { Search, type SearchMove, type SearchOptions, type SearchProgress, type Shard } from "./search.js";

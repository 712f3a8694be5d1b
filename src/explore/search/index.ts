export { Memo } from "./memo.js";
export { type FoundViolation, Search, type SearchOptions, type SearchResult, type Shard } from "./search.js";

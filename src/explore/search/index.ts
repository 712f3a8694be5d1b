export { Memo } from "./memo.js";
export {
	type FoundViolation,
	Search,
	type SearchMove,
	type SearchOptions,
	type SearchResult,
	type Shard,
} from "./search.js";

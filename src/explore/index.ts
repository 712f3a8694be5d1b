export { DesignAsks } from "./asks.js";
export { type Exploration, explore, exploreToShorten } from "./explore.js";
export { joinVisited, shortestOfEach } from "./merge.js";
export type { Admin, AdminStep, Model, ModelTask } from "./model.js";
export { isEndless, type MoveObserver, minimise, type Replayed, Replayer } from "./replay.js";
export { formatSchedule, type Move, PLACE, parseSchedule, type Schedule } from "./schedule.js";
export {
	type Checkpoint,
	Common,
	type FollowRequest,
	type FoundViolation,
	Helper,
	type HelperAnswer,
	type HelperPort,
	type HelperRequest,
	Helpers,
	Journal,
	Memo,
	type Outlook,
	RemoteFollower,
	Search,
	type SearchMove,
	type SearchOptions,
	type SearchProgress,
	type SearchResult,
	type Shard,
} from "./search/index.js";
export { missingPlaces, type SourcePlace } from "./source-place.js";
export { storyParts, tellStory } from "./story.js";
export { type TaskState, World } from "./world/index.js";

export {
	after,
	type BoundGate,
	discover,
	ENDS,
	instructionAt,
	isFaulting,
	type RegionInstruction,
	type Text,
} from "./region.js";
export { FUEL } from "./step.js";
export { flagsModule, translate } from "./translate.js";

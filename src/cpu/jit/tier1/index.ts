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
export { ENTRY, FLAGS_OF, FUEL, IMPORTS, RUN_TYPE, type Spot, StepTranslator } from "./step.js";
export { helperModule, translate } from "./translate.js";

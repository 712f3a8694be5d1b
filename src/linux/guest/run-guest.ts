import type { Cpu, Stop } from "../../cpu/index.js";
import { GuestFault } from "./guest-memory.js";

/** `cpu.run(budget)`. A gate that has followed a bad pointer, and could not stop the Cpu, is a fault of the guest. */
export function runGuest(cpu: Cpu, budget: number): Stop {
	try {
		return cpu.run(budget);
	} catch (error) {
		if (!(error instanceof GuestFault)) throw error;
		return { kind: "fault", executed: 0, fault: error.fault };
	}
}

/** Numbers as text for readers. */
import type { Unit } from "../common/index.js";

/** Three significant digits, and no exponents. */
export function digits(value: number): string {
	const size = Math.abs(value);
	if (size >= 1000) return Math.round(value).toLocaleString("en-US");
	if (size >= 100) return value.toFixed(0);
	if (size >= 10) return value.toFixed(1);
	return value.toFixed(2);
}

export function withUnit(value: number, unit: Unit): string {
	if (unit === "bytes" && value >= 10_000) return `${digits(value / 1024)} KiB`;
	if (unit === "ms" && value >= 1000) return `${digits(value / 1000)} s`;
	return `${digits(value)} ${unit}`;
}

export function ratio(value: number): string {
	return value >= 10 ? digits(value) : value.toFixed(2);
}

/** `+3 %` for 1.03. */
export function percent(factor: number): string {
	const change = (factor - 1) * 100;
	return `${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(Math.abs(change) < 10 ? 1 : 0)} %`;
}

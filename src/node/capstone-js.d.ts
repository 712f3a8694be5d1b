declare module "@alexaltea/capstone-js" {
	const create: (options: object) => Promise<unknown>;
	export default create;
}

declare module "@alexaltea/keystone-js" {
	const create: (options: object) => Promise<unknown>;
	export default create;
}

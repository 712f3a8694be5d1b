/**
 * Loads a WebAssembly module that Emscripten made, such as keystone-js: `() => import("@alexaltea/keystone-js")` in Node, an
 * import of a URL in a browser. The default export instantiates it.
 */
export type EmscriptenLoader = () => Promise<{ readonly default: (options: object) => Promise<unknown> }>;

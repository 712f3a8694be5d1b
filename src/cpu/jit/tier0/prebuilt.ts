/** Makes {@link FormLibrary.build} when it is needed; undefined: klpemu was not built, or for a browser. tools/bundle.mjs puts another one here. */
export const prebuilt: (() => Uint8Array<ArrayBuffer>) | undefined = undefined;

// wasi.mjs: runs a WebAssembly program that wants WASI, here test.c.
// Usage:   node wasi.mjs PROGRAM.wasm [ARGUMENT]...
// Files:   it sees "tests" of this folder and, as "vectors", SC_VECTORS.
// Needs:   Node.js 18 or later.

import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const [program, ...given] = process.argv.slice(2);
const vectors = process.env.SC_VECTORS;
const wasi = new WASI({
    version: 'preview1',
    args: ['test', ...given],
    env: { SC_VECTORS: 'vectors' },
    preopens: { tests: 'tests', ...(vectors && { vectors }) },
    returnOnExit: true,
});
const { instance } = await WebAssembly.instantiate(await readFile(program), {
    wasi_snapshot_preview1: wasi.wasiImport,
});
process.exitCode = wasi.start(instance);

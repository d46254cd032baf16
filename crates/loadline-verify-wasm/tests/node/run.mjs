// Verifies what a list of jobs asks for, with the module, and prints a line of JSON for each.
//
//   node run.mjs MODULE JOBS
//
// A job: { bundle: FILE, zeros: NUMBER, now, root, standing: FILE, witnessed }, where `zeros` stands for a bundle of that many zero
// bytes, and { ends: WORDS } for a module that ends in a trap after it said WORDS.
import { readFileSync } from "node:fs";

import { verifier, verify } from "../../web/host.mjs";

const [wasm, jobs] = process.argv.slice(2);
const withModule = await verifier(readFileSync(wasm));

// What a module exports, if it ends in a trap whatever it is asked.
function ending(words) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const said = new TextEncoder().encode(words);
  new Uint8Array(memory.buffer).set(said, 100);
  return {
    memory,
    loadline_input: () => 1000,
    loadline_verify: () => { throw new WebAssembly.RuntimeError("unreachable"); },
    loadline_result: () => 100,
    loadline_result_bytes: () => said.length,
  };
}

for (const { bundle, zeros, now, root, standing, witnessed, ends } of JSON.parse(readFileSync(jobs))) {
  const inputs = {
    bundle: bundle ? readFileSync(bundle) : new Uint8Array(zeros ?? 0),
    standing: standing ? readFileSync(standing) : null,
    now,
    root,
    witnessed,
  };
  const report = ends === undefined ? withModule(inputs) : verify(ending(ends), inputs);
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

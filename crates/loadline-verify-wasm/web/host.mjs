// The other side of the module: puts the inputs in, calls it, takes the result out. For browsers and for Node.
// No dependencies; the module imports nothing, so nothing is handed to it.

const PARTS = { bundle: 0, options: 1, standing: 2 };

// Compiles the module once. What it gives verifies, each time in an instance of its own: nothing is left behind.
//
// verify({ bundle: Uint8Array, now: "2027-01-01T00:00:00Z", root: "sha256:…" or null, standing: Uint8Array or null,
//   witnessed: true to refuse an exam whose start no witness cosigned })
// gives the report, or { error, hint }. It throws nothing.
export async function verifier(wasm) {
  const module = await WebAssembly.compile(wasm);
  const imports = WebAssembly.Module.imports(module);
  if (imports.length > 0) throw new Error(`not the verifier: it wants to import ${imports[0].name}`);
  return (inputs) => verify(new WebAssembly.Instance(module, {}).exports, inputs);
}

export function verify(exports, { bundle, now, root, standing, witnessed }) {
  try {
    // What is undefined is left out.
    const said = { now, root: root || undefined, witnessed: witnessed || undefined };
    const options = new TextEncoder().encode(JSON.stringify(said));
    const all = standing ? { bundle, options, standing } : { bundle, options };
    const accepted = Object.entries(all).every(([name, bytes]) => put(exports, PARTS[name], bytes));
    if (accepted) exports.loadline_verify();
    return JSON.parse(result(exports));
  } catch (trap) {
    return stopped(exports, trap);
  }
}

// What to say first of a report, and in which colour. Only a bundle that holds and has a licence is good news.
export function verdict(report) {
  if (report.error !== undefined) return { words: report.error, kind: "failed" };
  const failed = report.steps.find(({ status }) => status === "failed");
  if (!report.holds || failed) return { words: `Refused: step ${failed?.name} does not hold`, kind: "failed" };
  const { license, outcome, samples } = report.summary;
  if (license === null) {
    const why = outcome === "allow" ? "allow, and no licence came of it yet" : outcome ?? "undecided";
    return { words: `Holds, and licenses nothing: ${why}`, kind: "" };
  }
  return { words: `Verified: everything that could be looked at holds; ${samples} answers scored again`, kind: "ok" };
}

function put(exports, part, bytes) {
  const at = exports.loadline_input(part, bytes.length);
  if (at === 0) return false;
  // Not before now: making room may have moved the memory.
  new Uint8Array(exports.memory.buffer).set(bytes, at >>> 0);
  return true;
}

function result(exports) {
  const [at, length] = [exports.loadline_result() >>> 0, exports.loadline_result_bytes() >>> 0];
  return new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(exports.memory.buffer, at, length));
}

// A panic leaves its words as the result; when memory or stack ran out there are none.
function stopped(exports, trap) {
  try {
    const said = JSON.parse(result(exports));
    if (said.error) return said;
  } catch {
    // The words of the trap itself are all there is.
  }
  return {
    error: `the verifier stopped: ${trap.message}`,
    hint: "this is a bug, or there is too little memory; `loadline-verify` may still verify this bundle",
  };
}

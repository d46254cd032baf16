#!/usr/bin/env bash
# Builds the verifier as WebAssembly: FOLDER/loadline-verify.wasm, and FOLDER/loadline-verify.html, a page with it inside.
#
#   rustup target add wasm32-unknown-unknown && bash crates/loadline-verify-wasm/build.sh FOLDER
#
# Where that target cannot be had: DEBIAN_RUST names a folder into which Debian's packages of Rust are unpacked, with
# the source of the standard library, which is then built too (`.ci/wasm-rust` makes such a folder).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh FOLDER}
mkdir -p "$out"

build=(--locked --profile small --target wasm32-unknown-unknown --package loadline-verify-wasm --lib)
if [ -n "${DEBIAN_RUST:-}" ]; then
  # Debian's compiler with this machine's cargo. The standard library's own build is a feature of nightly compilers.
  export RUSTC=$DEBIAN_RUST/usr/bin/rustc RUSTC_BOOTSTRAP=1
  libraries=("$DEBIAN_RUST"/usr/lib/*-linux-gnu) linkers=("$DEBIAN_RUST"/usr/lib/llvm-*/bin/wasm-ld)
  export LD_LIBRARY_PATH=${libraries[0]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=${linkers[0]}
  build+=(-Z build-std=std,panic_abort)
fi
# A folder of its own: another compiler would make cargo build everything anew in the usual one.
target=${CARGO_TARGET_DIR:-$here/../../target}/wasm
cargo build --manifest-path "$here/../../Cargo.toml" --target-dir "$target" "${build[@]}"

wasm=$out/loadline-verify.wasm
cp "$target/wasm32-unknown-unknown/small/loadline_verify_wasm.wasm" "$wasm"
base64 "$wasm" > "$out/wasm.base64"
sed -e "/^@host@$/{r $here/web/host.mjs" -e 'd}' -e "/^@wasm@$/{r $out/wasm.base64" -e 'd}' \
  "$here/web/page.html" > "$out/loadline-verify.html"
rm "$out/wasm.base64"
ls -l "$wasm" "$out/loadline-verify.html"

//! The functions that the module exports, and what lies between two calls of them.
//!
//! No `unsafe` block is needed: memory belongs to this side, and the host, which sees all of a module's memory anyway,
//! writes only where `loadline_input` said, before the next call. Only the names are unsafe to give.
#![expect(unsafe_code, reason = "names of exported functions")]

use std::panic::PanicHookInfo;
use std::ptr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use loadline_core::untrusted::one_line;

use crate::{Inputs, Refusal, report};

static INPUTS: Mutex<Inputs> = Mutex::new(Inputs::EMPTY);
static RESULT: Mutex<String> = Mutex::new(String::new());
static HOOK: Once = Once::new();

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are put in: what a panic left behind is whole.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what a panic says as the result: the host finds it there when the module has ended.
fn keep(panic: &PanicHookInfo<'_>) {
    let said = one_line(&panic.to_string(), 500);
    let hint = "this is a bug: please report it; `loadline-verify` may still verify this bundle".to_owned();
    *locked(&RESULT) = Refusal { error: format!("the verifier stopped: {said}"), hint }.to_json();
}

/// Makes room for a part; 0 when it is refused, and then the result says why.
// SAFETY: no other symbol has this name: every exported name starts with `loadline_` and is in this file.
#[unsafe(no_mangle)]
pub extern "C" fn loadline_input(part: u32, bytes: usize) -> *mut u8 {
    HOOK.call_once(|| std::panic::set_hook(Box::new(keep)));
    match locked(&INPUTS).room(part, bytes) {
        Ok(room) => room.as_mut_ptr(),
        Err(refusal) => {
            *locked(&RESULT) = refusal.to_json();
            ptr::null_mut()
        }
    }
}

/// Verifies what was put in, which is gone afterwards.
// SAFETY: as for `loadline_input`.
#[unsafe(no_mangle)]
pub extern "C" fn loadline_verify() {
    *locked(&RESULT) = String::new();
    let inputs = std::mem::take(&mut *locked(&INPUTS));
    let result = report(inputs).unwrap_or_else(|refusal| refusal.to_json());
    *locked(&RESULT) = result;
}

/// Where the result is, until the next call of `loadline_input` or `loadline_verify`.
// SAFETY: as for `loadline_input`.
#[unsafe(no_mangle)]
pub extern "C" fn loadline_result() -> *const u8 {
    locked(&RESULT).as_ptr()
}

/// How many bytes the result has.
// SAFETY: as for `loadline_input`.
#[unsafe(no_mangle)]
pub extern "C" fn loadline_result_bytes() -> usize {
    locked(&RESULT).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_says_is_the_result() {
        std::panic::set_hook(Box::new(keep));
        let caught = std::panic::catch_unwind(|| assert_eq!(1, 2, "a row"));
        drop(std::panic::take_hook());
        assert!(caught.is_err());
        let said = locked(&RESULT).clone();
        assert!(said.starts_with(r#"{"error":"the verifier stopped: panicked at "#), "{said}");
        assert!(said.contains("module.rs") && said.contains("a row"), "{said}");
    }
}

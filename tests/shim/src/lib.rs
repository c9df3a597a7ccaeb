//! A PKCS#11 module in front of another one, for tests: the real one does the work, and what happens on the way
//! can be told to fail, to take its time or to be written down.
//!
//! `P11SHIM_MODULE` names the real module. `P11SHIM_CONTROL` names a file of rules ([`rules`]) that is read
//! again when it changes, so that a test drives a running daemon by writing it. `P11SHIM_RECORD` names a file
//! to which each C_Sign is appended *before* the real module is called: the key's CKA_ID and the input, in
//! hexadecimal, one line a call. So a signature is always preceded by its line, whatever is killed when.
//!
//! Exported is C_GetFunctionList alone, with version 2.40. Every function but those below is the real one's.
#![allow(
    unsafe_code,
    reason = "a PKCS#11 module is a C interface; nothing of this is in the product"
)]
#![allow(non_snake_case, reason = "they are PKCS#11's own names")]

mod calls;
mod record;
mod rules;

use std::sync::OnceLock;

use cryptoki_sys::{CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR_PTR, CK_RV, CKR_ARGUMENTS_BAD};
use cryptoki_sys::{CKR_GENERAL_ERROR, CKR_OK, Pkcs11};

/// The real module's functions and the list with ours among them.
struct Shim {
    real: CK_FUNCTION_LIST,
    ours: CK_FUNCTION_LIST,
    // Loaded as long as the process lives.
    _library: Pkcs11,
}

// SAFETY: function pointers and a loaded library; PKCS#11 modules are called from many threads.
unsafe impl Send for Shim {}
// SAFETY: as above.
unsafe impl Sync for Shim {}

static SHIM: OnceLock<Option<Shim>> = OnceLock::new();

fn load() -> Option<Shim> {
    let path = std::env::var_os("P11SHIM_MODULE").or_else(|| {
        eprintln!("p11shim: P11SHIM_MODULE does not name the real module");
        None
    })?;
    // SAFETY: the test names a PKCS#11 module.
    let library = unsafe { Pkcs11::new(&path) };
    let library = library.map_err(|e| eprintln!("p11shim: {}: {e}", path.display())).ok()?;
    let mut list = std::ptr::null_mut();
    // SAFETY: C_GetFunctionList of a module fills the pointer or fails.
    let filled = unsafe { library.C_GetFunctionList(&raw mut list) };
    if filled != CKR_OK || list.is_null() {
        eprintln!("p11shim: {}: C_GetFunctionList failed", path.display());
        return None;
    }
    // SAFETY: the module's own list, which lives as long as it is loaded.
    let real = unsafe { *list };
    let mut ours = real;
    calls::take_over(&mut ours);
    ours.C_GetFunctionList = Some(C_GetFunctionList);
    Some(Shim { real, ours, _library: library })
}

/// The real module; there is one, or no function of ours was ever handed out.
fn real() -> Option<&'static CK_FUNCTION_LIST> {
    SHIM.get().and_then(|shim| shim.as_ref()).map(|shim| &shim.real)
}

/// The one function that is exported.
///
/// # Safety
///
/// `list` is a place for a pointer, as PKCS#11 has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    match SHIM.get_or_init(load) {
        Some(shim) => {
            // SAFETY: not null, and the caller's. Nobody writes through the pointer.
            unsafe { *list = (&raw const shim.ours).cast_mut() };
            CKR_OK
        }
        None => CKR_GENERAL_ERROR,
    }
}

//! The functions that are taken over.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cryptoki_sys::*;

use crate::rules::{self, Act};
use crate::{real, record};

/// What is known of an open session.
#[derive(Default)]
struct Session {
    slot: CK_SLOT_ID,
    /// CKA_ID of the key that C_SignInit named.
    key_id: Vec<u8>,
}

static SESSIONS: Mutex<Option<HashMap<CK_SESSION_HANDLE, Session>>> = Mutex::new(None);
/// Sessions that were killed and not closed since.
static DEAD: Mutex<BTreeSet<CK_SESSION_HANDLE>> = Mutex::new(BTreeSet::new());
static KILLED: AtomicU64 = AtomicU64::new(0);
static LOGGED_OUT: AtomicU64 = AtomicU64::new(0);

fn sessions<T>(f: impl FnOnce(&mut HashMap<CK_SESSION_HANDLE, Session>) -> T) -> T {
    let mut guard: MutexGuard<'_, _> = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    f(guard.get_or_insert_with(HashMap::new))
}

fn dead<T>(f: impl FnOnce(&mut BTreeSet<CK_SESSION_HANDLE>) -> T) -> T {
    f(&mut DEAD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What the rules want done with a call.
struct Plan {
    fail: Option<CK_RV>,
    corrupt: bool,
    /// Until when the call has its lane.
    booked: Option<Instant>,
}

impl Plan {
    /// Waits until the lane's time is over. What the real module needs is part of that time.
    fn serve(&self) {
        if let Some(end) = self.booked {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
        }
    }
}

/// Waits as the rules say; what is to become of the call.
fn before(function: &str) -> Plan {
    let (acts, rtt, booked, down, kill, logout) = rules::with(|r| {
        let booked = if matches!(function, "C_Sign" | "C_Decrypt") { r.book() } else { None };
        (r.acts(function), r.rtt, booked, r.down, r.kill_sessions, r.logout)
    });
    if KILLED.fetch_max(kill, Ordering::Relaxed) < kill {
        record::played(&format!("kill_sessions={kill}"));
        kill_sessions();
    }
    if LOGGED_OUT.fetch_max(logout, Ordering::Relaxed) < logout {
        record::played(&format!("logout={logout}"));
        log_out();
    }
    let mut plan = Plan { fail: down, corrupt: false, booked };
    let mut wait = rtt;
    for act in acts {
        match act {
            Act::Fail(code) => plan.fail = plan.fail.or(Some(code)),
            Act::Hang(time) => wait += time,
            Act::Corrupt => plan.corrupt = true,
        }
    }
    if !wait.is_zero() {
        std::thread::sleep(wait);
    }
    plan
}

/// Every session that we know is gone from now on, and with the last one the login. The real module keeps
/// them until their owners close them: SoftHSM crashes where another thread closes a session in use.
fn kill_sessions() {
    log_out();
    let killed: Vec<CK_SESSION_HANDLE> =
        sessions(|s| s.drain().map(|(handle, _)| handle).collect());
    dead(|d| d.extend(killed));
}

fn log_out() {
    // One session of each slot logs out all of it.
    let mut slots: HashMap<CK_SLOT_ID, CK_SESSION_HANDLE> = HashMap::new();
    sessions(|s| slots.extend(s.iter().map(|(handle, session)| (session.slot, *handle))));
    let Some(out) = real().and_then(|r| r.C_Logout) else { return };
    for handle in slots.into_values() {
        // SAFETY: as above.
        unsafe { out(handle) };
    }
}

/// The same for a call in a session, which fails where that was killed.
fn before_in(session: CK_SESSION_HANDLE, function: &str) -> Plan {
    let mut plan = before(function);
    if dead(|d| d.contains(&session)) {
        plan.fail = plan.fail.or(Some(CKR_SESSION_HANDLE_INVALID));
    }
    plan
}

/// A function whose only change is that it may wait or fail.
macro_rules! passed_on {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?) as $plan:expr;)*) => {$(
        unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
            if let Some(code) = $plan.fail {
                return code;
            }
            match real().and_then(|r| r.$name) {
                // SAFETY: the caller's arguments, handed on.
                Some(function) => unsafe { function($($argument),*) },
                None => CKR_FUNCTION_NOT_SUPPORTED,
            }
        }
    )*};
}

passed_on! {
    C_Initialize(arguments: CK_VOID_PTR) as before("C_Initialize");
    C_GetSlotList(present: CK_BBOOL, list: CK_SLOT_ID_PTR, count: CK_ULONG_PTR) as before("C_GetSlotList");
    C_GetTokenInfo(slot: CK_SLOT_ID, info: CK_TOKEN_INFO_PTR) as before("C_GetTokenInfo");
}

/// The same with a session as the first argument.
macro_rules! passed_on_in_session {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        passed_on! {$(
            $name(session: CK_SESSION_HANDLE, $($argument: $type),*) as before_in(session, stringify!($name));
        )*}
    };
}

passed_on_in_session! {
    C_GetSessionInfo(info: CK_SESSION_INFO_PTR);
    C_Login(user: CK_USER_TYPE, pin: CK_UTF8CHAR_PTR, len: CK_ULONG);
    C_Logout();
    C_FindObjectsInit(template: CK_ATTRIBUTE_PTR, count: CK_ULONG);
    C_FindObjects(objects: CK_OBJECT_HANDLE_PTR, max: CK_ULONG, found: CK_ULONG_PTR);
    C_FindObjectsFinal();
    C_GetAttributeValue(object: CK_OBJECT_HANDLE, template: CK_ATTRIBUTE_PTR, count: CK_ULONG);
    C_CreateObject(template: CK_ATTRIBUTE_PTR, count: CK_ULONG, object: CK_OBJECT_HANDLE_PTR);
    C_DecryptInit(mechanism: CK_MECHANISM_PTR, key: CK_OBJECT_HANDLE);
    C_GenerateRandom(data: CK_BYTE_PTR, len: CK_ULONG);
}

unsafe extern "C" fn C_Finalize(reserved: CK_VOID_PTR) -> CK_RV {
    if let Some(code) = before("C_Finalize").fail {
        return code;
    }
    sessions(HashMap::clear);
    dead(BTreeSet::clear);
    let Some(function) = real().and_then(|r| r.C_Finalize) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's argument.
    unsafe { function(reserved) }
}

unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: CK_VOID_PTR,
    notify: CK_NOTIFY,
    session: CK_SESSION_HANDLE_PTR,
) -> CK_RV {
    if let Some(code) = before("C_OpenSession").fail {
        return code;
    }
    let limit = rules::with(|r| r.max_sessions);
    if limit.is_some_and(|limit| sessions(|s| s.len()) >= limit) {
        return CKR_SESSION_COUNT;
    }
    let Some(function) = real().and_then(|r| r.C_OpenSession) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's arguments; the handle is filled when CKR_OK comes back.
    let (code, handle) = unsafe {
        let code = function(slot, flags, application, notify, session);
        (code, if code == CKR_OK { *session } else { 0 })
    };
    if code == CKR_OK {
        sessions(|s| s.insert(handle, Session { slot, key_id: Vec::new() }));
    }
    code
}

unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    if let Some(code) = before("C_CloseSession").fail {
        return code;
    }
    sessions(|s| s.remove(&session));
    let was_killed = dead(|d| d.remove(&session));
    let Some(function) = real().and_then(|r| r.C_CloseSession) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's argument.
    let code = unsafe { function(session) };
    if was_killed { CKR_SESSION_HANDLE_INVALID } else { code }
}

unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    if let Some(code) = before_in(session, "C_SignInit").fail {
        return code;
    }
    let id = key_id(session, key);
    sessions(|s| s.entry(session).or_default().key_id = id);
    let Some(function) = real().and_then(|r| r.C_SignInit) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's arguments.
    unsafe { function(session, mechanism, key) }
}

/// CKA_ID of a key; empty where the module does not tell.
fn key_id(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> Vec<u8> {
    let Some(function) = real().and_then(|r| r.C_GetAttributeValue) else { return Vec::new() };
    let mut id = [0_u8; 255];
    let mut wanted = CK_ATTRIBUTE {
        type_: CKA_ID,
        pValue: id.as_mut_ptr().cast(),
        ulValueLen: id.len() as CK_ULONG,
    };
    // SAFETY: one attribute with room for 255 octets.
    let code = unsafe { function(session, key, &raw mut wanted, 1) };
    match usize::try_from(wanted.ulValueLen) {
        Ok(len) if code == CKR_OK && len <= id.len() => id[..len].to_vec(),
        _ => Vec::new(),
    }
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    len: CK_ULONG,
    signature: CK_BYTE_PTR,
    signature_len: CK_ULONG_PTR,
) -> CK_RV {
    let Some(function) = real().and_then(|r| r.C_Sign) else { return CKR_GENERAL_ERROR };
    if signature.is_null() {
        // The question for the length signs nothing.
        // SAFETY: the caller's arguments.
        return unsafe { function(session, data, len, signature, signature_len) };
    }
    let plan = before_in(session, "C_Sign");
    if let Some(code) = plan.fail {
        // The operation ends in the real module too, or the next C_SignInit finds it active.
        let (mut scratch, mut room) = (vec![0; 8192], 8192);
        // SAFETY: the caller's data, our own room. What comes out goes nowhere.
        unsafe { function(session, data, len, scratch.as_mut_ptr(), &raw mut room) };
        return code;
    }
    if let Ok(len) = usize::try_from(len)
        && !data.is_null()
    {
        let id = sessions(|s| s.get(&session).map(|s| s.key_id.clone())).unwrap_or_default();
        // SAFETY: the caller's data has this length.
        record::signature(&id, unsafe { std::slice::from_raw_parts(data, len) });
    }
    // SAFETY: the caller's arguments.
    let code = unsafe { function(session, data, len, signature, signature_len) };
    plan.serve();
    if code == CKR_OK && plan.corrupt {
        // SAFETY: the module wrote at least one octet.
        unsafe { *signature.add(7) ^= 0x10 };
    }
    code
}

unsafe extern "C" fn C_Decrypt(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    len: CK_ULONG,
    plain: CK_BYTE_PTR,
    plain_len: CK_ULONG_PTR,
) -> CK_RV {
    let Some(function) = real().and_then(|r| r.C_Decrypt) else { return CKR_GENERAL_ERROR };
    if plain.is_null() {
        // SAFETY: the caller's arguments.
        return unsafe { function(session, data, len, plain, plain_len) };
    }
    let plan = before_in(session, "C_Decrypt");
    if let Some(code) = plan.fail {
        let (mut scratch, mut room) = (vec![0; 8192], 8192);
        // SAFETY: the caller's data, our own room.
        unsafe { function(session, data, len, scratch.as_mut_ptr(), &raw mut room) };
        return code;
    }
    // SAFETY: the caller's arguments.
    let code = unsafe { function(session, data, len, plain, plain_len) };
    plan.serve();
    code
}

/// Puts our functions into the list.
pub(crate) fn take_over(list: &mut CK_FUNCTION_LIST) {
    macro_rules! ours {
        ($($name:ident),*) => { $(list.$name = Some($name);)* };
    }
    ours!(
        C_Initialize,
        C_Finalize,
        C_GetSlotList,
        C_GetTokenInfo,
        C_OpenSession,
        C_CloseSession,
        C_GetSessionInfo,
        C_Login,
        C_Logout,
        C_FindObjectsInit,
        C_FindObjects,
        C_FindObjectsFinal,
        C_GetAttributeValue,
        C_CreateObject,
        C_SignInit,
        C_Sign,
        C_DecryptInit,
        C_Decrypt,
        C_GenerateRandom
    );
}

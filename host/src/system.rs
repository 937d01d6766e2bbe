//! What this process and its machine use.

/// The name of this machine; `unknown` if it has none.
pub fn hostname() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "unknown".to_owned())
}

//! Diagnostics of the program itself, on stderr.

use tracing_subscriber::EnvFilter;

use super::console::Console;

/// Starts to print diagnostics, once for the process. `filter` is a level or a
/// list of directives that `config` has found valid.
pub(super) fn start(filter: &str, console: &Console) {
    // What the broker's client cannot do, its callers tell in their own words.
    let filter = match filter.contains("async_nats") {
        true => filter.to_owned(),
        false => format!("{filter},async_nats=off"),
    };
    let filter = EnvFilter::builder().parse_lossy(filter);
    let writer = console.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(console.is_coloured())
        .with_target(true)
        .with_writer(move || writer.clone())
        .finish();
    // A second run in one process keeps the first one's diagnostics.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

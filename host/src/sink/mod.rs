//! Where log entries go, one line each.
/// x
pub trait Sink: Send {
    /// x
    fn write_line(&mut self, line: &str) -> std::io::Result<()>;
}

//! What a guest prints, as WASI sees it: a stream that is always ready, in front
//! of whatever takes the bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Takes what a guest prints. Cloning it gives another handle on the same
/// output.
pub(super) trait Print: Clone + Send + Sync + Unpin + 'static {
    /// Takes bytes as they come: lines are in no relation to calls. Never
    /// blocks.
    fn print(&self, bytes: &[u8]);
}

/// An output stream of a guest's.
#[derive(Debug, Clone)]
pub(super) struct Printer<P>(pub(super) P);

impl<P> IsTerminal for Printer<P> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<P: Print> StdoutStream for Printer<P> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl<P: Print> Pollable for Printer<P> {
    async fn ready(&mut self) {}
}

impl<P: Print> OutputStream for Printer<P> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl<P: Print> AsyncWrite for Printer<P> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

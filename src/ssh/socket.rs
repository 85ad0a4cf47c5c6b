//! The socket below a session, tuned for many small packets.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Acknowledges at once what it reads.
///
/// sshd holds back a small packet until the one before is acknowledged, and a kernel likes to wait 40 ms
/// with that. No setting of sshd changes the one, so we change the other, anew at each read as it wears off.
pub(super) struct Socket(TcpStream);

impl Socket {
    /// Takes over a connection, which then ends if the peer acknowledges nothing for `silence`.
    pub(super) fn tune(stream: TcpStream, silence: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        limit_silence(&stream, silence)?;
        Ok(Self(stream))
    }
}

/// Lets the kernel give up on data that nobody takes: keepalives cannot pass a socket that is full.
#[cfg(target_os = "linux")]
fn limit_silence(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    let limit = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, limit)?)
}

#[cfg(not(target_os = "linux"))]
fn limit_silence(_stream: &TcpStream, _silence: Duration) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn acknowledge(stream: &TcpStream) {
    // Where it fails, all is as right as before and only slower.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge(_stream: &TcpStream) {}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        acknowledge(&self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
